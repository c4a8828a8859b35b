// Takes over the regions of earlier daemons, at start and before any client is heard.
//
// The files in the spill directory, with their records, are all that is known of these regions; there is no other
// database.  Each region is charged to its owner even if that exceeds a limit, because its bytes are on the disk
// already.  A region without a name has no attachment yet: it becomes an orphan at once, and the queue of orphans finds
// out whether a process still maps it.  Files that cannot be regions of their own are left alone.
//
// A file that a process uses is made what its record says by an operation, which may hang (op/repair.c).  The daemon
// waits for these operations before it hears a client, for some seconds at most.
#include "daemon/recovery.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account.h"
#include "daemon/config/settings.h"
#include "daemon/config/subjects.h"
#include "daemon/disks.h"
#include "daemon/fence/fence.h"
#include "daemon/halves.h"
#include "daemon/health.h"
#include "daemon/log.h"
#include "daemon/lookup.h"
#include "daemon/orphans.h"
#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"
#include "daemon/state.h"
#include "daemon/store/store.h"
#include "daemon/suspects.h"
#include "daemon/user.h"
#include "proto/util/container.h"

enum { REPAIR_SECONDS = 3 };

// True: another region has this name or this handle already, and the file is left alone.
static bool is_taken(struct daemon_disk *x, const struct record *record)
{
    struct daemon *d = x->daemon;
    const char *dir = store_dir(x->disk.store);
    const struct region *other;

    if (record->name_length > 0 &&
        region_find_name(&d->regions, record->owner_uid, record->name, record->name_length)) {
        log_warning("spill directory %s: uid %u has two regions with the name %s: the one here is ignored; unlink "
                    "the other and start the daemon again",
                    dir, record->owner_uid, record->name);
        return true;
    }
    other = region_find(&d->regions, &record->handle);
    if (other) {
        log_warning("spill directory %s: the region of uid %u there has the handle of a region of uid %u, and is "
                    "ignored; remove the other and start the daemon again",
                    dir, record->owner_uid, other->record.owner_uid);
        return true;
    }
    return false;
}

static void set_awaited(struct holders *h, uint32_t flags)
{
    uint32_t n = flags & RECORD_SHARED ? flags >> RECORD_HOLDERS_AT : 1;

    h->unknown = n == 0 || n == RECORD_HOLDERS_MOST;
    h->awaited = h->unknown ? 0 : n;
    // Nobody knows who had the region before; but see op/consent.c.
    h->left = flags & RECORD_SHARED || !(flags & RECORD_PASSTHROUGH);
    h->has_stranger = h->has_strangers = flags & RECORD_SHARED;
}

// Processes may have descriptors from earlier daemons.  The scan looks at the regions of one user after the other; the
// first one was looked at before its directory was watched, and is looked at once more.  True: R is the first one.
static bool watch_owner(struct daemon_disk *x, uid_t owner)
{
    if (x->has_watched && x->watched == owner)
        return false;
    x->has_watched = true;
    x->watched = owner;
    fence_watch(x->disk.fence, owner);
    return true;
}

// Without memory the region counts in no control group: a daemon must start.
static void join_job(struct daemon *d, const char *path, struct region *r)
{
    char canonical[CONFIG_SUBJECT_SIZE];
    struct quota_job *job;

    if (*path == '\0' || config_cgroup_path(path, canonical, sizeof canonical) < 0)
        return;
    job = accounts_job(d->accounts, canonical);
    if (!job)
        log_error("out of memory: a region of uid %u does not count in its control group", r->record.owner_uid);
    quota_charge_set_job(&r->charge, job);
    quota_job_unref(job);
}

// Makes a region of what was found on the disk.  IS_FIRST: as watch_owner says.
static int take(struct daemon_disk *x, struct store_found *found, bool is_first)
{
    struct daemon *d = x->daemon;
    const struct record *record = &found->record;
    struct user *owner;
    struct region *r;
    uint64_t charge;

    if (region_charge_of(&d->regions, found->size, &charge) < 0)
        return -ENOMEM;
    if (is_taken(x, record))
        return 0;
    owner = user_ref(d->users, record->owner_uid);
    if (owner)
        lookup_at_start(owner);
    r = owner ? region_add(&d->regions, record, owner) : NULL;
    user_unref(owner); // the region has a reference of its own
    if (!r)
        return -ENOMEM;
    r->clock_set_by = d->request.op.calendar.set_by;
    region_set_disk(r, &x->disk);
    if (is_first && fence_tripwire(x->disk.fence))
        suspects_note(d->request.op.suspects, r);
    join_job(d, found->cgroup, r);
    r->size = found->size;
    projects_adopt(x->disk.projects, found->project, &r->project);
    if (r->record.used > r->size) // the file was cut after the last commit
        r->record.used = r->size;
    r->discarded = found->discarded;
    // Stores to discarded parts raise no event.
    if (r->discarded.sum > 0 && fence_tripwire(x->disk.fence))
        suspects_note(d->request.op.suspects, r);
    found->discarded = (struct ranges){0};
    r->state = REGION_LIVE;
    x->disk.n_lacking_blocks += found->lacks_blocks;
    set_awaited(&r->holders, record->flags);
    quota_charge_force(&r->charge, QUOTA_REGIONS, 1);
    quota_charge_force(&r->charge, QUOTA_BYTES, charge - r->discarded.sum);
    d->marks_are_due = true; // when the owner's name is known, and since when it is above a soft limit
    if (found->needs_repair)
        return op_repair_region(&d->request.op, r, &x->disk.n_lacking_blocks);
    orphans_consider(d->request.op.orphans, r);
    return 0;
}

// For store_scan.
static int found_region(void *data, struct store_found *found)
{
    struct daemon_disk *x = data;

    if (half_is(&found->record))
        return halves_add(&x->daemon->halves, x, found);
    return take(x, found, watch_owner(x, found->record.owner_uid));
}

static void on_timeout(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    *(bool *)data = true;
}

// Turns the loop until the files that were in use are what their records say, but not for long: a process may hold the
// lock of some.
static int finish_repairs(struct daemon *d)
{
    static const struct timeval most = {.tv_sec = REPAIR_SECONDS};
    bool timed_out = false;
    struct event *timeout = evtimer_new(d->base, on_timeout, &timed_out);
    int r = timeout && event_add(timeout, &most) == 0 ? 0 : -ENOMEM;

    while (r == 0 && d->request.op.n_repairs > 0 && !timed_out && !d->told_to_end)
        r = event_base_loop(d->base, EVLOOP_ONCE) < 0 ? -EIO : 0;
    if (timeout)
        event_free(timeout);
    if (timed_out)
        log_warning("%llu regions could not be looked at yet: processes hold the locks of their files",
                    (unsigned long long)d->request.op.n_repairs);
    return r;
}

// After halves_join: makes regions of what is whole now.
static int take_joined(struct daemon *d)
{
    struct half *h;
    int r = 0;

    while (r == 0 && (h = halves_take_whole(&d->halves))) {
        r = take(h->x, &h->found, watch_owner(h->x, h->found.record.owner_uid));
        half_free(h);
    }
    return r;
}

static int settle_halves(struct daemon *d)
{
    struct half *h;
    int r;

    halves_join(&d->halves);
    r = take_joined(d);
    while ((h = halves_take_rest(&d->halves, &d->regions))) {
        half_remove(h);
        half_free(h);
    }
    halves_tell(d->halves);
    return r;
}

struct recovery_item {
    struct store_found found;
    bool is_first;
};

// For store_scan.
static int collect(void *data, struct store_found *found)
{
    struct recovery_list *l = data;
    struct recovery_item *items = l->items;

    if (half_is(&found->record))
        return halves_add(&l->disk->daemon->halves, l->disk, found);
    if (l->n == l->n_allocated) {
        size_t n = l->n_allocated ? 2 * l->n_allocated : 64;

        items = reallocarray(items, n, sizeof *items);
        if (!items)
            return -ENOMEM;
        l->items = items;
        l->n_allocated = n;
    }
    items[l->n++] = (struct recovery_item){.found = *found, .is_first = watch_owner(l->disk, found->record.owner_uid)};
    found->discarded = (struct ranges){0};
    return 0;
}

static int scan(struct daemon_disk *x, int (*found)(void *data, struct store_found *region), void *data,
                char **ret_error)
{
    struct store *store = x->disk.store;
    int r = store_scan(store, found, data, &x->disk.left);

    if (r < 0 && asprintf(ret_error, "spill directory %s: it cannot be read: %s", store_dir(store), strerror(-r)) < 0)
        *ret_error = NULL;
    return r;
}

// Finds all regions of a disk, or fails.
static int collect_all(struct daemon_disk *x, struct recovery_list *ret, char **ret_error)
{
    int r;

    *ret = (struct recovery_list){.disk = x};
    r = scan(x, collect, ret, ret_error);
    if (r < 0)
        halves_forget(&x->daemon->halves, x);
    return r;
}

int recovery_collect(struct daemon_disk *x, struct recovery_list *ret, char **ret_error)
{
    int r = collect_all(x, ret, ret_error);

    if (r == 0)
        halves_join(&x->daemon->halves);
    return r;
}

// Makes regions of what was collected.
static int take_all(struct recovery_list *l)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->n; i++)
        r = take(l->disk, &l->items[i].found, l->items[i].is_first);
    return r;
}

int recovery_take(struct recovery_list *l, struct half **ret_rest)
{
    struct daemon *d = l->disk->daemon;
    struct half *h;
    int r = take_all(l);

    *ret_rest = NULL;
    if (r == 0)
        r = take_joined(d);
    while ((h = halves_take_rest(&d->halves, &d->regions))) {
        h->next = *ret_rest;
        *ret_rest = h;
    }
    halves_tell(d->halves);
    l->disk->disk.written = l->disk->disk.granted.used[QUOTA_BYTES];
    return r;
}

void recovery_list_deinit(struct recovery_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        ranges_deinit(&l->items[i].found.discarded);
    free(l->items);
    *l = (struct recovery_list){0};
}

static int recover_further(struct daemon_disk *x, char **ret_error)
{
    struct recovery_list found;
    int r = collect_all(x, &found, ret_error);

    if (r == 0)
        r = take_all(&found);
    recovery_list_deinit(&found);
    return store_is_shortage(r) ? -ENOMEM : r;
}

// For disks_step_all.  If the first disk fails, the daemon ends.  A further disk that fails is left out, so its regions
// are taken only when all of them were found.  But the daemon's own want of memory or descriptors is no reason to leave
// a healthy disk out: then the daemon ends, to be started again.
static int recover_disk(struct daemon_disk *x, void *data, char **ret_error)
{
    (void)data;
    return &x->disk == x->daemon->home ? scan(x, found_region, x, ret_error) : recover_further(x, ret_error);
}

int recovery_run(struct daemon *d)
{
    const unsigned n_disks = d->n_disks;
    int r = disks_step_all(d, recover_disk, NULL);

    if (r == 0 && d->n_disks < n_disks) {
        health_add_up(d);
        settings_have_changed(d->settings); // percentages are of the sum of all disks
    }
    if (r == 0)
        r = settle_halves(d);
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        disk->written = disk->granted.used[QUOTA_BYTES];
    return r < 0 ? r : finish_repairs(d);
}
