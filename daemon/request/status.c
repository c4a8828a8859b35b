// GetStatus: the state of the daemon and of its disks.  It is answered at once, from what was found out when the disks
// were asked last.
#include "daemon/request/status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/fence/fence.h"
#include "daemon/request/arena.h"
#include "daemon/request/handlers.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/checked.h"

enum {
    MOST_DISKS = 128,   // in a reply, with those that are not in use
    REPLY_SLACK = 1024, // bytes of a packet for the parts of the reply around the status
};

static uint64_t disk_left(const struct disk *disk)
{
    uint64_t left = disk_grantable(disk);

    for (unsigned i = 0; i < disk->health.n_limits; i++) {
        const struct full_limit *l = &disk->health.limits[i];

        if (!l->counts_files)
            left = u64_min(left, l->limit > l->used ? l->limit - l->used : 0);
    }
    return disk->problem || disk->is_leaving ? 0 : left;
}

uint64_t status_disk_left(struct disk *disks, const struct user *user)
{
    const struct disk_wish wish = {.owner = user ? user->uid : 0, .owner_name = user ? user_name(user) : NULL};
    bool is_only_one = disks && !disks->next; // where regions grow that are there, even if no new one may be made
    uint64_t most = 0;

    for (struct disk *d = disks; d; d = d->next)
        if (!user || is_only_one || disk_is_open_to(disks, d, &wish))
            most = u64_max(most, disk_left(d));
    return most;
}

// The limits of the file system beside its space.
struct fs_limits {
    uint64_t inodes, inodes_available, quota, quota_used;
};

static struct fs_limits fs_limits(const struct store_health *h)
{
    struct fs_limits ret = {0};

    for (unsigned i = 0; i < h->n_limits; i++) {
        const struct full_limit *l = &h->limits[i];
        uint64_t left = l->limit > l->used ? l->limit - l->used : 0;

        if (!l->counts_files) {
            ret.quota = l->limit;
            ret.quota_used = l->used;
        } else if (!ret.inodes || left < ret.inodes_available) {
            ret.inodes = l->limit;
            ret.inodes_available = left;
        }
    }
    return ret;
}

static Diskalloc__V1__Guarantee guarantee_of(const struct disk *disk)
{
    return store_guarantee(disk->store)->hard ? DISKALLOC__V1__GUARANTEE__HARD : DISKALLOC__V1__GUARANTEE__SOFT;
}

static void fill_disk(const struct disk *d, Diskalloc__V1__Disk *ret)
{
    const struct fs_limits limits = fs_limits(&d->health);

    diskalloc__v1__disk__init(ret);
    ret->dir = field_text(store_dir(d->store));
    ret->in_use = true;
    ret->is_leaving = d->is_leaving;
    ret->file_system = (char *)store_guarantee(d->store)->file_system;
    ret->guarantee = guarantee_of(d);
    ret->guarantee_reason = (char *)store_guarantee(d->store)->reason;
    ret->total = d->space.total;
    ret->available = d->space.available;
    ret->keep_free = d->keep_free;
    ret->free = d->problem ? 0 : disk_free(d);
    ret->bytes = d->granted.used[QUOTA_BYTES] + d->sparse.used[QUOTA_BYTES];
    ret->regions = d->granted.used[QUOTA_REGIONS] + d->sparse.used[QUOTA_REGIONS];
    ret->foreign_files = d->left.foreign;
    ret->unreadable_files = d->left.unreadable;
    ret->lacking_blocks = d->n_lacking_blocks;
    ret->inodes = limits.inodes;
    ret->inodes_available = limits.inodes_available;
    ret->fs_quota_limit = limits.quota;
    ret->fs_quota_used = limits.quota_used;
    ret->problem = field_text(d->health.problem);
    if (!d->fence)
        return;
    ret->fences = (char *)fence_names(d->fence);
    ret->fences_missing = (char *)fence_missing(d->fence);
}

static void fill_absence(const struct disk_absence *a, Diskalloc__V1__Disk *ret)
{
    diskalloc__v1__disk__init(ret);
    ret->dir = field_text(a->dir);
    ret->problem = field_text(a->problem);
}

// The list of disks, while it is made.
struct list {
    struct arena *arena;
    Diskalloc__V1__Disk *disks[MOST_DISKS];
    size_t n, size; // SIZE: bytes, packed, with the rest of the status
};

// NULL: no memory.
static Diskalloc__V1__Disk *new_disk(struct list *l)
{
    return l->n < MOST_DISKS ? l->arena->allocator.alloc(l->arena, sizeof(Diskalloc__V1__Disk)) : NULL;
}

static void add(struct list *l, Diskalloc__V1__Disk *disk)
{
    size_t size = diskalloc__v1__disk__get_packed_size(disk) + 8;

    if (l->size + size > PACKET_MAX - REPLY_SLACK)
        return;
    l->size += size;
    l->disks[l->n++] = disk;
}

static void fill_list(const struct request_env *env, struct list *l)
{
    Diskalloc__V1__Disk *disk;

    for (const struct disk *d = env->op.disks; d && (disk = new_disk(l)); d = d->next) {
        fill_disk(d, disk);
        add(l, disk);
    }
    for (const struct disk_absence *a = env->absences; a && (disk = new_disk(l)); a = a->next) {
        fill_absence(a, disk);
        add(l, disk);
    }
}

// The fields that are about one disk are those of the first one.
static void fill_first(const struct disk *first, Diskalloc__V1__Status *ret)
{
    const struct fs_limits limits = fs_limits(&first->health);
    const struct disk *soft = first;

    while (soft && store_guarantee(soft->store)->hard)
        soft = soft->next;
    ret->spill_dir = field_text(store_dir(first->store));
    ret->file_system = (char *)store_guarantee(first->store)->file_system;
    ret->guarantee = guarantee_of(soft ? soft : first);
    ret->guarantee_reason = soft ? (char *)store_guarantee(soft->store)->reason : ret->guarantee_reason;
    ret->disk_inodes = limits.inodes;
    ret->disk_inodes_available = limits.inodes_available;
    ret->fs_quota_limit = limits.quota;
    ret->fs_quota_used = limits.quota_used;
    if (!first->fence)
        return;
    ret->fences = (char *)fence_names(first->fence);
    ret->fences_missing = (char *)fence_missing(first->fence);
}

// The first problem of all disks.  If there are several, it begins with the directory.
static void fill_problem(const struct request_env *env, Diskalloc__V1__Status *ret)
{
    const struct disk *disk = env->op.disks;
    const struct disk_absence *a = env->absences;
    const char *dir = NULL, *problem = "";
    size_t size;
    char *text;

    while (a && !a->is_configured)
        a = a->next;
    while (disk && !disk->health.problem[0])
        disk = disk->next;
    if (disk) {
        dir = store_dir(disk->store);
        problem = disk->health.problem;
    } else if (a) {
        dir = a->dir;
        problem = a->problem;
    }
    ret->problem = field_text(problem);
    if (!dir || (!env->op.disks->next && !a))
        return;
    size = strlen(dir) + strlen(problem) + 3;
    text = env->reply_arena->allocator.alloc(env->reply_arena, size);
    if (!text)
        return;
    snprintf(text, size, "%s: %s", dir, problem);
    ret->problem = field_text(text);
}

static void fill_sums(const struct request_env *env, Diskalloc__V1__Status *ret)
{
    const struct quota_account *total = quota_total(env->quota);
    const struct quota_limits *limits = quota_account_limits(total);

    ret->disk_total = env->space.total;
    ret->disk_available = env->space.available;
    ret->keep_free = disks_keep_free(env->op.disks);
    for (const struct disk *d = env->op.disks; d; d = d->next) {
        ret->foreign_files += d->left.foreign;
        ret->unreadable_files += d->left.unreadable;
        ret->lacking_blocks += d->n_lacking_blocks;
    }
    ret->bytes = quota_account_used(total, QUOTA_BYTES);
    ret->bytes_limit = limits->max[QUOTA_BYTES];
    ret->regions = quota_account_used(total, QUOTA_REGIONS);
    ret->regions_limit = limits->max[QUOTA_REGIONS];
    ret->connections = quota_account_used(total, QUOTA_CONNECTIONS);
    ret->connections_limit = limits->max[QUOTA_CONNECTIONS];
    ret->orphans = env->op.regions->n_orphans;
    ret->mended = env->op.n_mended;
}

int request_get_status(const struct call *c)
{
    const struct request_env *env = c->env;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Status status = DISKALLOC__V1__STATUS__INIT;
    struct list list = {.arena = env->reply_arena};

    arena_reset(env->reply_arena);
    status.version = (char *)DISKALLOC_VERSION;
    status.pid = (uint32_t)getpid();
    status.started = env->started;
    fill_first(env->op.disks, &status);
    fill_problem(env, &status);
    fill_sums(env, &status);
    list.size = diskalloc__v1__status__get_packed_size(&status);
    fill_list(env, &list);
    status.disks = list.disks;
    status.n_disks = list.n;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_STATUS;
    reply.status = &status;
    return request_answer(c, &reply);
}
