// Every two seconds a worker asks each disk for its free space, and whether it is still there and can be written to.
//
// A disk with a problem grants nothing new, and the others go on.  What other programs have freed may let waiting
// operations go on.  Each disk is asked on its own, so that a disk that hangs says nothing about another one.
#include "daemon/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/reports.h"
#include "daemon/state.h"
#include "daemon/store/lock.h"
#include "daemon/work/worker.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum { HANGS_SECONDS = 10 }; // without an answer

void health_add_up(struct daemon *d)
{
    struct store_space *sum = &d->request.space;

    *sum = (struct store_space){0};
    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next) {
        if (disk_shares_file_system(d->request.op.disks, disk))
            continue;
        sum->total += disk->space.total;
        sum->used += disk->space.used;
        sum->available += disk->space.available;
    }
}

static enum work_status run_look(struct work *w)
{
    struct daemon_disk *x = container_of(w, struct daemon_disk, look);

    x->space_result = store_space(x->disk.store, &x->fresh_space);
    store_look(x->disk.store, &x->fresh_health);
    if (x->lays_ghosts)
        store_lock_lay_ghosts(store_lock(x->disk.store));
    return WORK_DONE;
}

// With several disks it says which one.
static void report(const struct daemon_disk *x, const char *problem)
{
    const struct daemon *d = x->daemon;
    bool has_several = d->request.op.disks->next;
    _cleanup_free_ char *text = NULL;

    if (has_several && asprintf(&text, "%s%s%s", store_dir(x->disk.store), *problem ? ": " : "", problem) < 0)
        text = NULL;
    reports_publish_to_all(d->request.op.reports, *problem ? REPORT_DISK_PROBLEM : REPORT_DISK_WELL,
                           text ? text : problem);
}

// GRANTS: new grants are made all the same.
static void note(struct daemon_disk *x, const char *problem, bool grants)
{
    struct disk *disk = &x->disk;
    struct store_health *h = &disk->health;

    if (grants && disk->problem) // what is known to be wrong is worse than a disk that hangs
        return;
    disk->problem = *problem && !grants ? h->problem : NULL;
    if (strcmp(h->problem, problem) == 0)
        return;
    if (*problem)
        log_error("spill directory %s: %s%s", store_dir(disk->store), problem,
                  grants ? "" : "; nothing new is granted until that is over");
    else
        log_notice("spill directory %s: all is well again", store_dir(disk->store));
    report(x, problem);
    snprintf(h->problem, sizeof h->problem, "%s", problem);
}

static void look_done(struct work *w)
{
    struct daemon_disk *x = container_of(w, struct daemon_disk, look);
    struct daemon *d = x->daemon;
    struct store_health *h = &x->disk.health;

    x->is_asked = false;
    op_end_stuck(&d->request.op, &x->disk, x->asked_at);
    note(x, x->fresh_health.problem, false);
    memcpy(h->limits, x->fresh_health.limits, sizeof h->limits);
    h->n_limits = x->fresh_health.n_limits;
    if (x->space_result < 0)
        return;
    x->disk.space = x->fresh_space;
    x->disk.written = x->settled;
    health_add_up(d);
    // Other programs may have freed space, and users may have left groups: waiting operations may be granted now.
    wait_poke(d->request.op.wait);
}

static void ask(struct daemon_disk *x)
{
    struct daemon *d = x->daemon;

    if (x->is_asked) { // the last question has no answer yet
        if (clock_now() - x->asked_at > HANGS_SECONDS * 1000UL)
            note(x, "the disk does not answer", true);
        return;
    }
    // The answer decides whether it is the disk that holds operations up.  A file system whose journal is busy answers
    // questions, and makes whoever changes something wait.
    if (op_seem_stuck(&d->request.op, &x->disk, clock_now()))
        store_suspect(x->disk.store);
    x->is_asked = true;
    x->lays_ghosts = d->request.op.n_repairs == 0;
    x->asked_at = clock_now();
    x->settled = x->disk.granted.used[QUOTA_BYTES];
    x->settled -= u64_min(x->settled, op_bytes_at_work(&d->request.op, &x->disk));
    x->look = (struct work){
        .lane = WORK_LANE_DAEMON, .disk = x->disk.number, .brief = true, .run = run_look, .done = look_done};
    worker_submit(d->pool, &x->look);
}

void health_tick(struct daemon *d)
{
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        ask(container_of(disk, struct daemon_disk, disk));
}

int health_look_first(struct disk *disk)
{
    int r = store_space(disk->store, &disk->space);

    if (r == 0)
        store_look(disk->store, &disk->health);
    disk->health.problem[0] = '\0'; // whatever there is, the log tells when the daemon looks again
    return r;
}
