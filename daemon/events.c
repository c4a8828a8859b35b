// Signals and timers: what the daemon does beside serving requests.  All callbacks run on the loop's thread.
//
// SIGTERM and SIGINT end the loop.  SIGHUP has the configuration read again, on a worker.  Every two seconds the disks
// are asked how they are (health.c).  The timers for orphans and for waiting operations are set by their queues,
// through events_wake_for_orphans and events_wake_for_waiting.  The user database is asked again once a second about
// whatever is due.  The watchdog is fed from the loop, so that a loop that has stopped is noticed by the service
// manager.
#include "daemon/events.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config/settings.h"
#include "daemon/conn/conn.h"
#include "daemon/fences.h"
#include "daemon/grace.h"
#include "daemon/health.h"
#include "daemon/home.h"
#include "daemon/http/http.h"
#include "daemon/log.h"
#include "daemon/lookup.h"
#include "daemon/metrics/metrics.h"
#include "daemon/names.h"
#include "daemon/notify.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/opening.h"
#include "daemon/quota/quota.h"
#include "daemon/reports.h"
#include "daemon/request/metrics.h"
#include "daemon/state.h"
#include "daemon/user.h"
#include "proto/util/clock.h"

enum {
    SPACE_SECONDS = 2,      // between two questions to a disk for its space and its health
    MOST_POSTPONED_MS = 20, // by which waiting operations are put off
};

// Tells the service manager the usage, unless it has not changed.
static void tell_status(struct daemon *d)
{
    const struct quota_account *total = quota_total(d->quota);
    const uint64_t now[] = {
        quota_account_used(total, QUOTA_REGIONS),
        quota_account_used(total, QUOTA_BYTES),
        quota_account_used(total, QUOTA_CONNECTIONS),
    };

    if (memcmp(now, d->told, sizeof now) == 0)
        return;
    memcpy(d->told, now, sizeof now);
    notify_status(now[0], now[1], now[2]);
}

static void on_watchdog(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
    notify_watchdog();
}

static void catch_up(struct daemon *d)
{
    if (!d->missed_timer)
        return;
    d->missed_timer = false;
    op_reap_orphans(&d->request.op, clock_now());
    op_resume_waiting(&d->request.op, clock_now());
}

static void keep_metrics(struct daemon *d)
{
    struct metrics_readings readings;

    request_read_metrics(&d->request, &readings);
    metrics_tick(d->request.metrics, &readings.source);
}

static void on_space_timer(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    catch_up(d);
    tell_status(d);
    log_tell_suppressed();
    op_close_unused_files(&d->request.op);
    fences_tick(d);
    grace_tick(d);
    keep_metrics(d);
    http_tick(d->http);
    health_tick(d);
    opening_tick(d);
}

static void on_names_timer(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    names_tick(d->names);
    lookup_tick(d->users);
    op_expire_unused(&d->request.op);
    op_tell_progress(&d->request.op);
}

static void on_end_signal(evutil_socket_t signal, short what, void *data)
{
    struct daemon *d = data;

    (void)what;
    log_notice("%s: the daemon ends", strsignal((int)signal));
    notify_stopping();
    reports_publish_to_all(d->request.op.reports, REPORT_ENDING, NULL);
    while (d->has_conns && tell_reports(&d->conns)) // nothing is published meanwhile, so that this ends
        continue;
    d->told_to_end = true;
    event_base_loopbreak(d->base);
}

static void on_orphans(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    op_reap_orphans(&d->request.op, clock_now());
}

static void on_waiting(evutil_socket_t fd, short what, void *data)
{
    static const struct timeval soon = {0};
    const uint64_t now = clock_now();
    struct daemon *d = data;

    (void)fd;
    (void)what;
    // Packets that are there already are served first, because one of them may give something back.  Clients that never
    // stop sending put this off for a bounded time only.
    if (!d->postponed_at)
        d->postponed_at = now;
    if (conn_has_news(&d->conns) && now - d->postponed_at < MOST_POSTPONED_MS) {
        d->missed_timer |= event_add(d->waiting, &soon) < 0;
        d->waiting_due = now;
        return;
    }
    d->postponed_at = 0;
    op_resume_waiting(&d->request.op, now);
}

// TIMER fires at AT (ms, monotonic), or earlier if it is set so already: *DUE is when.  (libevent tells that by the
// clock of the day, which may be set meanwhile.)
static void wake_at(struct daemon *d, struct event *timer, uint64_t *due, uint64_t at)
{
    const uint64_t now = clock_now(), wait_ms = at > now ? at - now : 0;
    const struct timeval delay = {.tv_sec = (time_t)(wait_ms / 1000), .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};

    if (event_pending(timer, EV_TIMEOUT, NULL) && *due <= at)
        return;
    *due = at;
    // The timer that looks at the disk stands in.
    if (event_add(timer, &delay) < 0)
        d->missed_timer = true;
}

void events_wake_for_orphans(void *data, uint64_t at)
{
    struct daemon *d = data;

    wake_at(d, d->orphans, &d->orphans_due, at);
}

void events_wake_for_waiting(void *data, uint64_t at)
{
    struct daemon *d = data;

    wake_at(d, d->waiting, &d->waiting_due, at);
}

static void reload_done(struct settings_change *change)
{
    struct daemon *d = change->owner;
    struct tally *t = &d->request.op.tally;

    t->reload_ok = change->result == 0;
    t->reloads[t->reload_ok]++;
    if (change->result < 0)
        log_error("the configuration is kept as it was: %s", change->error ? change->error : strerror(-change->result));
    else {
        log_notice("the configuration was read again");
        reports_publish_to_all(d->request.op.reports, REPORT_LIMITS_CHANGED, "the configuration was read again");
        // The administrator may have changed groups as well.
        names_refresh(d->names);
        lookup_all(d->users);
        home_try_again(d);
        opening_begin(d);
    }
    settings_change_free(change);
    notify_ready();
}

static void on_reload_signal(evutil_socket_t signal, short what, void *data)
{
    struct daemon *d = data;
    struct settings_change *change = calloc(1, sizeof *change);

    (void)signal;
    (void)what;
    if (!change) {
        log_error("the configuration is kept as it was: out of memory");
        return;
    }
    notify_reloading();
    change->done = reload_done;
    change->owner = d;
    settings_submit(d->settings, change);
}

// A signal, or a timer.  A timer with PERIOD NULL does not run until somebody adds it.
static struct event *make_event(struct daemon *d, evutil_socket_t signal, short what, event_callback_fn fn,
                                const struct timeval *period)
{
    struct event *event = event_new(d->base, signal, what, fn, d);

    if (event && (what & EV_SIGNAL || period) && event_add(event, period) < 0) {
        event_free(event);
        return NULL;
    }
    return event;
}

int events_init(struct daemon *d)
{
    const struct timeval space_period = {.tv_sec = SPACE_SECONDS};
    const struct timeval names_period = {.tv_sec = 1};
    const uint64_t usec = notify_watchdog_period();
    const struct timeval watchdog_period = {(time_t)(usec / 1000000), (suseconds_t)(usec % 1000000)};

    d->base = event_base_new();
    if (!d->base)
        return -ENOMEM;
    d->on_term = make_event(d, SIGTERM, EV_SIGNAL | EV_PERSIST, on_end_signal, NULL);
    d->on_int = make_event(d, SIGINT, EV_SIGNAL | EV_PERSIST, on_end_signal, NULL);
    d->on_hup = make_event(d, SIGHUP, EV_SIGNAL | EV_PERSIST, on_reload_signal, NULL);
    d->orphans = make_event(d, -1, 0, on_orphans, NULL);
    d->waiting = make_event(d, -1, 0, on_waiting, NULL);
    d->space_timer = make_event(d, -1, EV_PERSIST, on_space_timer, &space_period);
    d->names_timer = make_event(d, -1, EV_PERSIST, on_names_timer, &names_period);
    d->watchdog = make_event(d, -1, EV_PERSIST, on_watchdog, usec > 0 ? &watchdog_period : NULL);
    if (!d->on_term || !d->on_int || !d->on_hup || !d->orphans || !d->waiting || !d->space_timer || !d->names_timer ||
        !d->watchdog)
        return -ENOMEM;
    return 0;
}

void events_deinit(struct daemon *d)
{
    struct event *const events[] = {d->on_term, d->on_int,      d->on_hup,      d->orphans,
                                    d->waiting, d->space_timer, d->names_timer, d->watchdog};

    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            event_free(events[i]);
    if (d->base)
        event_base_free(d->base);
}
