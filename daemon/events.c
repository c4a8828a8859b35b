// What happens while the daemon runs, other than requests: signals, timers, another configuration.
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/settings.h"
#include "daemon/conn/conn.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/quota/quota.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "daemon/work/worker.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "proto/util/size.h"

#include "daemon/daemon_internal.h"

enum {
    SPACE_SECONDS = 2,   // how old what is known of the disk may be
    MOST_POSTPONED = 64, // turns of the loop
};

static enum work_status read_space(struct work *w)
{
    struct daemon *d = container_of(w, struct daemon, space_work);

    d->space_result = store_space(d->store, &d->fresh_space);
    return WORK_DONE;
}

static void space_is_read(struct work *w)
{
    struct daemon *d = container_of(w, struct daemon, space_work);

    d->space_asked = false;
    if (d->space_result < 0)
        return;
    d->request.space = d->fresh_space;
    // Space that others freed is for those who wait, and so is what changed without a word (a user has left a group).
    wait_poke(d->wait);
}

// Every two seconds at most, and only what is new.
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

// From the loop: a loop that does not turn says nothing.
static void on_watchdog(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
    notify_watchdog();
}

static void on_space_timer(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    tell_status(d);
    op_close_unused_files(&d->request.op);
    if (d->space_asked) // the file system hangs
        return;
    d->space_asked = true;
    d->space_work = (struct work){.lane = geteuid(), .brief = true, .run = read_space, .done = space_is_read};
    worker_submit(d->pool, &d->space_work);
}

static void on_end_signal(evutil_socket_t signal, short what, void *data)
{
    struct daemon *d = data;

    (void)what;
    log_notice("%s: ending", strsignal((int)signal));
    notify_stopping();
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
    struct daemon *d = data;

    (void)fd;
    (void)what;
    // What others have said before is heard first, for it may be a detach; but those who never stop talking are not waited for.
    if (conn_has_news(&d->conns) && d->n_postponed++ < MOST_POSTPONED) {
        event_add(d->waiting, &soon);
        return;
    }
    d->n_postponed = 0;
    op_resume_waiting(&d->request.op, clock_now());
}

// TIMER fires at AT, unless it is due earlier.
static void wake_at(struct event *timer, uint64_t at)
{
    struct timeval pending, now, delay = {0};
    uint64_t wait_ms, now_ms = clock_now();

    wait_ms = at > now_ms ? at - now_ms : 0;
    delay.tv_sec = (time_t)(wait_ms / 1000);
    delay.tv_usec = (suseconds_t)(wait_ms % 1000 * 1000);
    if (event_pending(timer, EV_TIMEOUT, &pending)) {
        struct timeval due;

        evutil_gettimeofday(&now, NULL);
        evutil_timeradd(&now, &delay, &due);
        if (evutil_timercmp(&pending, &due, <=))
            return;
    }
    event_add(timer, &delay);
}

void daemon_wake_for_orphans(void *data, uint64_t at)
{
    wake_at(((struct daemon *)data)->orphans, at);
}

void daemon_wake_for_waiting(void *data, uint64_t at)
{
    wake_at(((struct daemon *)data)->waiting, at);
}

// Each connection needs a descriptor, each worker two, and there are some of our own.
static void warn_of_few_descriptors(const struct config *config, uint64_t disk_total)
{
    enum { OWN = 32 };
    struct quota_limits limits;
    struct rlimit files;

    config_total_limits(config, disk_total, &limits);
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
        return;
    if (limits.max[QUOTA_CONNECTIONS] >
        files.rlim_cur - (files.rlim_cur < OWN + 2 * DAEMON_WORKERS ? files.rlim_cur : OWN + 2 * DAEMON_WORKERS))
        log_warning(
            "only %llu files may be open: the %s connections that are allowed cannot all be had; raise LimitNOFILE",
            (unsigned long long)files.rlim_cur,
            limits.max[QUOTA_CONNECTIONS] == QUOTA_UNLIMITED ? "unlimited" : "many");
}

// What follows from the configuration, at start and whenever it is another.
void daemon_settings_changed(void *data)
{
    struct daemon *d = data;
    struct request_env *env = &d->request;

    env->config = settings_config(d->settings);
    env->op.keep_free = config_value_bytes(&env->config->keep_free, env->space.total);
    if (user_table_configure(d->users, env->config, env->space.total) < 0)
        log_error("out of memory: some users keep the limits they had");
    warn_of_few_descriptors(env->config, env->space.total);
    wait_poke(d->wait);
}

static void reload_done(struct settings_change *change)
{
    struct daemon *d = change->owner;

    if (change->result < 0)
        log_error("the configuration is kept as it was: %s", change->error ? change->error : strerror(-change->result));
    else {
        log_notice("the configuration was read again");
        // Who is in which group may have changed too.
        user_table_refresh(d->users);
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
    if (!change)
        return;
    notify_reloading();
    change->done = reload_done;
    change->owner = d;
    settings_submit(d->settings, change);
}

// To the administrator, and to the user whose account it is.
void daemon_on_quota_warning(void *data, const struct quota_account *a, uint64_t used, uint64_t limit)
{
    struct daemon *d = data;
    struct user *user = user_find_by_account(d->users, a);
    char used_text[SIZE_TEXT_MAX], limit_text[SIZE_TEXT_MAX], name[80];
    const struct log_fields fields = {
        .message_id = LOG_ID_WARNING,
        .has_user = user != NULL,
        .uid = user ? user->uid : 0,
        .limit_name = name,
        .limit = limit,
        .used = used,
    };

    snprintf(name, sizeof name, "%s bytes", quota_account_label(a));
    log_with(LOG_LEVEL_WARNING, &fields, "%s: %s of %s are used", name, size_format(used, used_text),
             size_format(limit, limit_text));
    if (user)
        peer_send_warning(user, a);
}

// EV_SIGNAL or a timer of its own (PERIOD), added at once; or one that somebody wakes (NULL).
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

int daemon_make_events(struct daemon *d)
{
    const struct timeval space_period = {.tv_sec = SPACE_SECONDS};
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
    d->watchdog = make_event(d, -1, EV_PERSIST, on_watchdog, usec > 0 ? &watchdog_period : NULL);
    if (!d->on_term || !d->on_int || !d->on_hup || !d->orphans || !d->waiting || !d->space_timer || !d->watchdog)
        return -ENOMEM;
    return 0;
}

void daemon_free_events(struct daemon *d)
{
    struct event *const events[] = {d->on_term, d->on_int,      d->on_hup,  d->orphans,
                                    d->waiting, d->space_timer, d->watchdog};

    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            event_free(events[i]);
    if (d->base)
        event_base_free(d->base);
}
