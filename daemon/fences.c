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

#include "daemon/config/config.h"
#include "daemon/fence/fence.h"
#include "daemon/log.h"
#include "daemon/op/op.h"
#include "daemon/state.h"
#include "daemon/suspects.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

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
    struct daemon *d = data;

    (void)fd;
    (void)what;
    wait_ms(d->trip_timer, GATHER_MS);
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
    struct daemon *d = data;
    struct tripwire *t = fence_tripwire(d->request.op.fence);
    bool lost, more = tripwire_read(t, on_changed, d, &lost);

    (void)fd;
    (void)what;
    d->request.op.tally.fence_overflows += lost;
    if (lost)
        suspects_note_all(d->request.op.suspects);
    if (more)
        wait_ms(d->trip_timer, BETWEEN_READS_MS);
    else
        event_add(d->tripped, NULL);
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

static int make_events(struct daemon *d)
{
    struct tripwire *t = fence_tripwire(d->request.op.fence);

    d->suspects_at = UINT64_MAX;
    d->suspects = evtimer_new(d->base, on_suspects, d);
    d->trip_timer = evtimer_new(d->base, on_trip_timer, d);
    d->tripped = t ? event_new(d->base, tripwire_fd(t), EV_READ, on_tripped, d) : NULL;
    if (!d->suspects || !d->trip_timer || (t && (!d->tripped || event_add(d->tripped, NULL) < 0)))
        return -ENOMEM;
    return suspects_new(&d->regions, wake, d, &d->request.op.suspects);
}

int fences_init(struct daemon *d, const struct config *config)
{
    _cleanup_free_ char *error = NULL;
    int r = fence_new(config->fence, d->store, &d->request.op.fence, &error);

    if (r == 0) {
        d->request.op.projects = fence_projects(d->request.op.fence);
        r = make_events(d);
    }
    if (error)
        log_error("%s", error);
    return r;
}

void fences_deinit(struct daemon *d)
{
    struct event *const events[] = {d->tripped, d->trip_timer, d->suspects};

    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            event_free(events[i]);
    suspects_free(d->request.op.suspects);
    fence_free(d->request.op.fence);
}

void fences_tick(struct daemon *d)
{
    if (fence_is_blind(d->request.op.fence) && ++d->n_blind_ticks % BLIND_TICKS == 0)
        suspects_note_all(d->request.op.suspects);
}
