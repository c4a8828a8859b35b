#include "daemon/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon/alive.h"
#include "daemon/config.h"
#include "daemon/conn.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/op.h"
#include "daemon/quota.h"
#include "daemon/request.h"
#include "daemon/store.h"
#include "daemon/user.h"
#include "daemon/wait.h"
#include "daemon/worker.h"
#include "proto/cleanup.h"
#include "proto/size.h"

enum {
    N_WORKERS = 8,
    REPLY_ARENA_SIZE = 256 * 1024,
    SPACE_SECONDS = 2,          // how old what is known of the disk may be
    STOP_TIMEOUT_MS = 5 * 1000, // for what workers are at when the daemon ends
};

struct daemon {
    struct event_base *base;
    struct event *on_term, *on_int, *orphans, *waiting, *space_timer;
    struct config *config;
    struct store *store;
    struct quota *quota;
    struct user_table *users;
    struct region_table regions;
    struct worker_pool *pool;
    struct alive *alive;
    struct wait_queue *wait;
    struct arena reply_arena;
    struct request_env request;
    struct conn_env conns;
    struct listener *listener;
    bool has_conns, has_regions;
    // The disk's space is asked on a worker.
    struct work space_work;
    bool space_asked;
    struct store_space fresh_space;
    int space_result;
};

static enum work_status read_space(struct work *w)
{
    struct daemon *d = (struct daemon *)((char *)w - offsetof(struct daemon, space_work));

    d->space_result = store_space(d->store, &d->fresh_space);
    return WORK_DONE;
}

static void space_is_read(struct work *w)
{
    struct daemon *d = (struct daemon *)((char *)w - offsetof(struct daemon, space_work));

    d->space_asked = false;
    if (d->space_result == 0)
        d->request.space = d->fresh_space;
}

static void on_space_timer(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
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
    sd_notify(0, "STOPPING=1");
    event_base_loopbreak(d->base);
}

static void on_orphans(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    alive_run(d->alive, alive_now());
}

static void on_waiting(evutil_socket_t fd, short what, void *data)
{
    struct daemon *d = data;

    (void)fd;
    (void)what;
    wait_run(d->wait, alive_now());
}

// TIMER fires at AT, unless it is due earlier.
static void wake_at(struct event *timer, uint64_t at)
{
    struct timeval pending, now, delay = {0};
    uint64_t wait_ms, now_ms = alive_now();

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

static void wake_for_orphans(void *data, uint64_t at)
{
    wake_at(((struct daemon *)data)->orphans, at);
}

static void wake_for_waiting(void *data, uint64_t at)
{
    wake_at(((struct daemon *)data)->waiting, at);
}

static void on_conn_ended(void *data)
{
    struct daemon *d = data;

    if (d->listener)
        listener_resume(d->listener);
}

static int found_region(void *data, const struct record *record, uint64_t size)
{
    struct daemon *d = data;
    struct user *owner = user_ref(d->users, record->owner_uid);
    struct region *r;
    uint64_t charge;

    if (!owner || region_charge_of(&d->regions, size, &charge) < 0)
        return -ENOMEM;
    if (!owner->known)
        user_read_now(owner);
    if (region_find_name(&d->regions, record->owner_uid, record->name, record->name_length) &&
        record->name_length > 0) {
        log_warning("uid %u has two regions with the name %s; one of them is left alone", record->owner_uid,
                    record->name);
        user_unref(owner);
        return 0;
    }
    r = region_add(&d->regions, record, owner);
    user_unref(owner); // the region has its own
    if (!r)
        return -ENOMEM;
    r->size = size;
    r->state = REGION_LIVE;
    r->boot_is_over = memcmp(&record->boot, &d->request.boot, sizeof record->boot) != 0;
    quota_charge_force(&r->charge, QUOTA_REGIONS, 1);
    quota_charge_force(&r->charge, QUOTA_BYTES, charge);
    alive_consider(d->alive, r);
    return 0;
}

static enum daemon_exit open_store(struct daemon *d)
{
    _cleanup_free_ char *error = NULL;
    int r = store_open(d->config->spill_dir, d->config->spill_dir_require_mount, &file_ops_system, &d->store, &error);

    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r == -EBUSY ? DAEMON_EXIT_TAKEN : r < 0 ? DAEMON_EXIT_FAILED : DAEMON_EXIT_OK;
}

static int make_events(struct daemon *d)
{
    static const struct timeval space_period = {.tv_sec = SPACE_SECONDS};

    d->base = event_base_new();
    if (!d->base)
        return -ENOMEM;
    d->on_term = evsignal_new(d->base, SIGTERM, on_end_signal, d);
    d->on_int = evsignal_new(d->base, SIGINT, on_end_signal, d);
    d->orphans = evtimer_new(d->base, on_orphans, d);
    d->waiting = evtimer_new(d->base, on_waiting, d);
    d->space_timer = event_new(d->base, -1, EV_PERSIST, on_space_timer, d);
    if (!d->on_term || !d->on_int || !d->orphans || !d->waiting || !d->space_timer)
        return -ENOMEM;
    if (event_add(d->on_term, NULL) < 0 || event_add(d->on_int, NULL) < 0 ||
        event_add(d->space_timer, &space_period) < 0)
        return -ENOMEM;
    return 0;
}

static int make_tables(struct daemon *d)
{
    struct request_env *env = &d->request;
    int r;

    region_table_init(&d->regions, store_block_size(d->store));
    d->has_regions = true;
    d->quota = quota_new();
    if (!d->quota)
        return -ENOMEM;
    r = worker_pool_new(d->base, N_WORKERS, &d->pool);
    if (r == 0)
        r = user_table_new(d->pool, d->quota, &d->users);
    if (r == 0)
        r = arena_init(&d->reply_arena, REPLY_ARENA_SIZE);
    if (r == 0)
        r = store_space(d->store, &env->space);
    if (r == 0)
        r = alive_new(&env->op, wake_for_orphans, d, &d->alive);
    if (r == 0)
        r = wait_new(&env->op, wake_for_waiting, d, &d->wait);
    if (r < 0)
        return r;
    env->op.wait = d->wait;
    env->op.store = d->store;
    env->op.regions = &d->regions;
    env->op.pool = d->pool;
    env->op.alive = d->alive;
    env->op.keep_free = config_value_bytes(&d->config->keep_free, env->space.total);
    env->quota = d->quota;
    env->users = d->users;
    env->config = d->config;
    env->reply_arena = &d->reply_arena;
    env->boot = boot_id_read();
    env->started = (uint64_t)time(NULL);
    if (getrandom(env->generation, sizeof env->generation, 0) < 0)
        return -errno;
    r = user_table_configure(d->users, d->config, env->space.total);
    if (r == 0) {
        r = conn_env_init(&d->conns, d->base, env);
        d->has_conns = true;
    }
    return r;
}

static uid_t read_overflow_uid(void)
{
    unsigned uid = 65534;
    FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");

    if (f) {
        if (fscanf(f, "%u", &uid) != 1)
            uid = 65534;
        fclose(f);
    }
    return (uid_t)uid;
}

static int start_listening(struct daemon *d, int listen_fd)
{
    _cleanup_free_ char *error = NULL;
    int r;

    d->conns.overflow_uid = read_overflow_uid();
    d->conns.ended = on_conn_ended;
    d->conns.ended_data = d;
    if (listen_fd >= 0)
        r = listener_from_fd(d->base, &d->conns, listen_fd, &d->listener, &error);
    else
        r = listener_open(d->base, &d->conns, d->config->socket, d->config->socket_mode, &d->listener, &error);
    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r;
}

static void log_facts(const struct daemon *d)
{
    const struct spillfile_guarantee *g = store_guarantee(d->store);
    char bytes[SIZE_TEXT_MAX], available[SIZE_TEXT_MAX], keep[SIZE_TEXT_MAX];

    log_notice(
        "diskallocd %s: %s on %s, guarantee %s%s%s, %s available, %s kept free; %" PRIu64 " regions with %s are there",
        DISKALLOC_VERSION, store_dir(d->store), g->file_system, g->hard ? "hard" : "soft", g->hard ? "" : ": ",
        g->reason, size_format(d->request.space.available, available), size_format(d->request.op.keep_free, keep),
        d->regions.n_regions, size_format(quota_account_used(quota_total(d->quota), QUOTA_BYTES), bytes));
}

enum daemon_exit daemon_new(struct config *config, int listen_fd, struct daemon **ret)
{
    struct daemon *d = calloc(1, sizeof *d);
    enum daemon_exit status;
    int r;

    if (!d) {
        config_free(config);
        return DAEMON_EXIT_FAILED;
    }
    d->config = config;
    status = open_store(d);
    if (status != DAEMON_EXIT_OK) {
        daemon_free(d);
        return status;
    }
    r = make_events(d);
    if (r == 0)
        r = make_tables(d);
    if (r == 0)
        r = store_scan(d->store, found_region, d, &d->request.n_foreign);
    if (r < 0)
        log_error("cannot start: %s", strerror(-r));
    else
        r = start_listening(d, listen_fd);
    if (r < 0) {
        daemon_free(d);
        return DAEMON_EXIT_FAILED;
    }
    log_facts(d);
    *ret = d;
    return DAEMON_EXIT_OK;
}

enum daemon_exit daemon_run(struct daemon *d)
{
    sd_notify(0, "READY=1");
    if (event_base_dispatch(d->base) < 0) {
        log_error("the event loop failed");
        return DAEMON_EXIT_FAILED;
    }
    return DAEMON_EXIT_OK;
}

// Regions stay on disk: only what was known of them goes.
static void forget_regions(struct daemon *d)
{
    struct region *r;

    while (d->has_regions && (r = region_next(&d->regions, NULL))) {
        struct op *op;

        while ((op = TAILQ_FIRST(&r->ops))) {
            TAILQ_REMOVE(&r->ops, op, entry);
            cleanup_close(&op->file);
            op->result = -ESHUTDOWN;
            op->done(op);
        }
        region_remove(&d->regions, r);
        r->orphaned = false;
        region_free(r);
    }
}

void daemon_free(struct daemon *d)
{
    if (!d)
        return;
    listener_close(d->listener);
    d->listener = NULL;
    if (d->pool && !worker_pool_stop(d->pool, STOP_TIMEOUT_MS)) {
        log_warning("the disk does not answer: ending without waiting for it");
        _exit(DAEMON_EXIT_OK);
    }
    if (d->has_conns)
        conn_env_deinit(&d->conns);
    forget_regions(d);
    alive_free(d->alive);
    wait_free(d->wait);
    if (d->pool)
        worker_pool_free(d->pool);
    user_table_free(d->users);
    if (d->quota)
        quota_free(d->quota);
    arena_deinit(&d->reply_arena);
    store_close(d->store);
    if (d->on_term)
        event_free(d->on_term);
    if (d->on_int)
        event_free(d->on_int);
    if (d->orphans)
        event_free(d->orphans);
    if (d->waiting)
        event_free(d->waiting);
    if (d->space_timer)
        event_free(d->space_timer);
    if (d->base)
        event_base_free(d->base);
    config_free(d->config);
    free(d);
}
