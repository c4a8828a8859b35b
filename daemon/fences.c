// The tripwire's events, and the timer of the suspects.
//
// Events come in bursts: each grow raises some, and so does a client that writes to its file.  So after the first event
// the daemon does not listen for GATHER_MS, then reads what has come, a bounded number at a time, and listens again
// when nothing is left.  A change is so known within a tenth of a second, and a stream of events costs a bounded part
// of the loop's time.  The kernel keeps 16,384 events; if more come, it says so, and every region is looked at.
#include "daemon/fences.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "daemon/fence/fence.h"
#include "daemon/log.h"
#include "daemon/op/op.h"
#include "daemon/state.h"
#include "daemon/suspects.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum {
    GATHER_MS = 100,      // from the first event of a burst to the first read
    BETWEEN_READS_MS = 5, // while there is more
    BLIND_TICKS = 5,      // of two seconds, between two looks at everything, where something cannot be watched
};

static void wait_ms(struct event *timer, uint64_t ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_add(timer, &delay);
}

static void on_tripped(evutil_socket_t fd, short what, void *data)
{
    struct daemon_disk *x = data;

    (void)fd;
    (void)what;
    wait_ms(x->trip_timer, GATHER_MS);
}

static void on_changed(void *data, const struct handle *handle)
{
    struct daemon *d = data;
    struct region *r = region_find(&d->regions, handle);

    d->request.op.tally.fence_events++;
    if (r)
        suspects_note(d->request.op.suspects, r);
}

static void on_trip_timer(evutil_socket_t fd, short what, void *data)
{
    struct daemon_disk *x = data;
    bool lost, more = tripwire_read(fence_tripwire(x->disk.fence), on_changed, x->daemon, &lost);

    (void)fd;
    (void)what;
    x->daemon->request.op.tally.fence_overflows += lost;
    if (lost)
        suspects_note_all(x->daemon->request.op.suspects);
    if (more)
        wait_ms(x->trip_timer, BETWEEN_READS_MS);
    else
        event_add(x->tripped, NULL);
}

static void on_suspects(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    d->suspects_at = UINT64_MAX;
    op_verify_suspects(&d->request.op, clock_now());
}

// For suspects_new.
static void wake(void *data, uint64_t at)
{
    struct daemon *d = data;

    if (at >= d->suspects_at)
        return;
    d->suspects_at = at;
    wait_ms(d->suspects, clock_left(at));
}

int fences_init(struct daemon *d)
{
    d->suspects_at = UINT64_MAX;
    d->suspects = evtimer_new(d->base, on_suspects, d);
    return d->suspects ? suspects_new(&d->regions, wake, d, &d->request.op.suspects) : -ENOMEM;
}

int fences_make(struct daemon_disk *x, enum config_fence wanted, char **ret_error)
{
    int r = fence_new(wanted, x->disk.store, &x->disk.fence, ret_error);

    if (r == 0)
        x->disk.projects = fence_projects(x->disk.fence);
    return r;
}

int fences_listen(struct daemon_disk *x)
{
    struct tripwire *t = fence_tripwire(x->disk.fence);
    struct event_base *base = x->daemon->base;

    if (!t)
        return 0;
    x->trip_timer = evtimer_new(base, on_trip_timer, x);
    x->tripped = event_new(base, tripwire_fd(t), EV_READ, on_tripped, x);
    return x->trip_timer && x->tripped && event_add(x->tripped, NULL) == 0 ? 0 : -ENOMEM;
}

void fences_remove(struct daemon_disk *x)
{
    if (x->tripped)
        event_free(x->tripped);
    if (x->trip_timer)
        event_free(x->trip_timer);
    fence_free(x->disk.fence);
}

void fences_deinit(struct daemon *d)
{
    if (d->suspects)
        event_free(d->suspects);
    suspects_free(d->request.op.suspects);
}

void fences_tick(struct daemon *d)
{
    for (struct disk *disk = d->request.op.disks; disk; disk = disk->next) {
        struct daemon_disk *x = container_of(disk, struct daemon_disk, disk);

        if (fence_is_blind(disk->fence) && ++x->n_blind_ticks % BLIND_TICKS == 0)
            suspects_note_all(d->request.op.suspects);
    }
}
