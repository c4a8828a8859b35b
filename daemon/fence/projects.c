// The holder of a region's descriptor can allocate blocks behind the end of the file, or store to discarded parts.
// The tripwire makes that good some tenths of a second later.  Where the file system has quotas for projects, the
// kernel refuses it: each region's file is in a project of its own, and the hard limit of the project is what is
// granted of the region, and a little more.  Calls then fail with EDQUOT (ENOSPC on xfs), and stores with SIGBUS, in
// the program that does it and in no other: the granted bytes have their blocks already.
//
// One project a region, and not one a user: otherwise a program that may write to one region could use up what the
// owner's other regions need, such as the room of a sparse region, or blocks of metadata.
//
// Only the owner of a file, the daemon's user, may change its project, which takes no privilege.  Setting a limit takes
// CAP_SYS_ADMIN.  Programs with CAP_SYS_RESOURCE, as root's, are not bound on ext4.
//
// The little more (slack) is for what the file system charges to the file beside its data, and for what it reserves
// for a moment: ext4 needs up to a block for each 170 pieces of a file, xfs some dozens of blocks for an allocation or
// an attribute.  A file that uses more than its limit loses nothing: ext4 writes zeros instead of splitting an extent,
// xfs does not ask; measured with a limit of exactly the granted bytes.
//
// Setting a limit costs a third as much as allocating a mebibyte.  So the limit of a region that grows is set ahead
// (room), and made tight again when the region has been at rest for some seconds (op/kept_file.c).  A grow then takes
// as long as without the fence (counted in instructions, on ext4 by 1 MiB 0.98 times, by 64 KiB 0.99 times); making a
// region of 4 KiB and removing it takes 1.4 times as long.  The operations on a region come one after the other, and a
// limit is raised before blocks are allocated: so no grow is refused by it.
//
// Project ids are 32 bits.  Those of the daemon begin with the byte 0xda, and it takes no other file's: what is in
// another project belongs to the administrator, and is left alone.  A spill directory starts at a place of its own
// among the 2^24 ids, so that two daemons on one file system rarely meet; an id that has more files than one is left
// to the other.  Ids are taken in turn from a window that grows with the number of regions: xfs removes a file some
// time after its last close, and keeps a record of each id that was ever used.
#include "daemon/fence/projects.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "proto/util/cleanup.h"

#define FIRST_ID UINT32_C(0xda000000)
enum {
    N_IDS = 1 << 24,
    LEAST_WINDOW = 1024,
    TRIES = 16,
    FAR = 1 << 20, // ids, to where no other daemon has any
};

struct projects {
    const struct project_ops *ops;
    int dir_fd;
    pthread_mutex_t lock; // of the fields below, but told
    uint32_t start;       // the slot 0 is the id FIRST_ID + start
    uint32_t cursor;      // the slot that is tried next
    uint32_t n_used;
    uint8_t *used;    // a bit for each slot
    atomic_bool told; // a failure was logged
};

static uint64_t slack(uint64_t bytes)
{
    return bytes / 64 + 256UL * 1024;
}

static uint64_t room(uint64_t bytes)
{
    return bytes / 8 + 1024UL * 1024;
}

static uint64_t most(uint64_t bytes, bool grows)
{
    return bytes + (grows ? room(bytes) : slack(bytes));
}

static bool is_ours(uint32_t id)
{
    return id >= FIRST_ID && id - FIRST_ID < N_IDS;
}

static uint32_t slot_of(const struct projects *p, uint32_t id)
{
    return (id - FIRST_ID - p->start) % N_IDS;
}

static bool is_used(const struct projects *p, uint32_t slot)
{
    return p->used[slot / 8] & 1U << slot % 8;
}

static void set_used(struct projects *p, uint32_t slot, bool used)
{
    if (is_used(p, slot) == used)
        return;
    p->used[slot / 8] ^= (uint8_t)(1U << slot % 8);
    p->n_used += used ? 1 : UINT32_MAX; // adding UINT32_MAX subtracts one
}

// 0: there is none.
static uint32_t take(struct projects *p)
{
    uint32_t window = LEAST_WINDOW, id = 0;

    pthread_mutex_lock(&p->lock);
    while (window < N_IDS && window / 4 <= p->n_used)
        window *= 2;
    for (uint32_t i = 0; i < window && !id; i++) {
        uint32_t slot = p->cursor < window ? p->cursor : 0;

        p->cursor = slot + 1;
        if (!is_used(p, slot)) {
            set_used(p, slot, true);
            id = FIRST_ID + (p->start + slot) % N_IDS;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return id;
}

static void give_back(struct projects *p, uint32_t id)
{
    pthread_mutex_lock(&p->lock);
    set_used(p, slot_of(p, id), false);
    pthread_mutex_unlock(&p->lock);
}

static void move_on(struct projects *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->n_used == 0) // otherwise the slots of what is used would change
        p->start = (p->start + FAR) % N_IDS;
    else
        p->cursor += LEAST_WINDOW;
    pthread_mutex_unlock(&p->lock);
}

// 0; -EAGAIN: another file has the project, and FD's is in none of the daemon's now; another -errno.
static int try_id(struct projects *p, int fd, uint32_t id)
{
    struct project_usage u;
    int r = p->ops->set(fd, id);

    if (r == 0)
        r = p->ops->usage(p->dir_fd, id, &u);
    if (r == 0 && u.files == 1)
        return 0;
    p->ops->set(fd, 0);
    return r < 0 ? r : -EAGAIN;
}

// -EXDEV: the file is in a project that is not the daemon's.
static int enter(struct projects *p, int fd, struct project *x)
{
    uint32_t id = p->ops->of(fd);
    int r = id != 0 && !is_ours(id) ? -EXDEV : -EAGAIN;

    for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
        id = take(p);
        r = id ? try_id(p, fd, id) : -ENOSPC;
        if (r < 0 && id)
            give_back(p, id);
    }
    if (r == -EAGAIN)
        move_on(p);
    if (r == 0)
        *x = (struct project){.id = id};
    return r;
}

static void tell(struct projects *p, int error)
{
    if (!p || atomic_exchange(&p->told, true))
        return;
    if (error == -EXDEV)
        log_warning("project quotas: a region's file is in a project that is not the daemon's, and is left there");
    else
        log_warning("project quotas: cannot bound a region's file: %s; not logged again", strerror(-error));
}

static void leave(struct project *x, int fd)
{
    if (x->id && fd >= 0 && project_ops_system.set(fd, 0) == 0)
        *x = (struct project){0};
}

void projects_bound(struct projects *p, int fd, struct project *x, uint64_t bytes, bool grows)
{
    int r = 0;

    if (!p) {
        leave(x, fd);
        return;
    }
    if (x->id == 0)
        r = fd < 0 ? -EBADF : enter(p, fd, x);
    if (r == 0 && x->limit >= most(bytes, false) && x->limit <= most(bytes, grows))
        return;
    if (r == 0) {
        r = p->ops->limit(p->dir_fd, x->id, most(bytes, grows));
        x->limit = r < 0 ? 0 : most(bytes, grows);
    }
    if (r < 0 && r != -EAGAIN) // -EAGAIN: other ids will be tried next time
        tell(p, r);
}

bool projects_is_loose(const struct projects *p, const struct project *x, uint64_t bytes, bool grows)
{
    return p && x->id && (x->limit == 0 || x->limit > most(bytes, grows));
}

void projects_adopt(struct projects *p, uint32_t id, struct project *ret)
{
    *ret = (struct project){0};
    if (!is_ours(id))
        return;
    if (p) {
        pthread_mutex_lock(&p->lock);
        if (!is_used(p, slot_of(p, id)))
            ret->id = id;
        set_used(p, slot_of(p, id), true);
        pthread_mutex_unlock(&p->lock);
    } else {
        ret->id = id;
    }
}

void projects_release(struct projects *p, struct project *x)
{
    if (!p || !x->id)
        return;
    p->ops->limit(p->dir_fd, x->id, 0);
    give_back(p, x->id);
    *x = (struct project){0};
}

bool projects_refuses(struct projects *p, const struct project *x, uint64_t bytes, struct project_usage *ret)
{
    return p && x->id && p->ops->usage(p->dir_fd, x->id, ret) == 0 && ret->limit > 0 &&
           (ret->bytes >= ret->limit || ret->limit - ret->bytes < bytes);
}

static const char *explain(int error)
{
    switch (error) {
    case -ENOSYS:
        return "this kernel lacks quotactl_fd (Linux 5.14)";
    case -EPERM:
        return "the daemon lacks CAP_SYS_ADMIN, or may not call quotactl_fd (see the drop-in project-quota.conf)";
    case -EINVAL:
        return "they cannot be set from within a user namespace";
    default:
        return "the file system of the spill directory is not mounted with prjquota, or has none (ext4 and xfs have)";
    }
}

// A daemon must be able to start on a full disk, which proves nothing.
static int try(struct projects *p)
{
    _cleanup_close_ int fd = openat(p->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct project x = {0};
    int r = fd < 0 ? 0 : enter(p, fd, &x);

    if (r == 0 && fd >= 0)
        r = p->ops->limit(p->dir_fd, x.id, most(0, false));
    if (r == 0)
        projects_release(p, &x);
    return r == -ENOSPC || r == -EDQUOT || r == -EAGAIN ? 0 : r;
}

int projects_new(const struct project_ops *ops, int dir_fd, struct projects **ret, const char **ret_why)
{
    struct projects *p;
    struct stat st;
    int r = ops->check(dir_fd);

    *ret_why = r < 0 ? explain(r) : NULL;
    if (r == 0 && ops->of(dir_fd) != 0) {
        r = -EXDEV;
        *ret_why = "the spill directory is in a project of the administrator's, which is left alone";
    }
    if (r < 0)
        return r;
    p = calloc(1, sizeof *p);
    *ret_why = "no memory";
    if (!p)
        return -ENOMEM;
    *p = (struct projects){.ops = ops, .dir_fd = dir_fd, .used = calloc(N_IDS / 8, 1)};
    pthread_mutex_init(&p->lock, NULL);
    r = !p->used ? -ENOMEM : fstat(dir_fd, &st) < 0 ? -errno : 0;
    if (r == 0) {
        p->start = (uint32_t)(st.st_ino * UINT64_C(0x9e3779b97f4a7c15) >> 40);
        r = try(p);
        *ret_why = explain(r);
    }
    if (r < 0) {
        projects_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void projects_free(struct projects *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    free(p->used);
    free(p);
}
