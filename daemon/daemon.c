// The daemon as a whole: its parts are made here from the configuration, tied together, and freed in the reverse order.
//
// Order of making: the disks (locks the spill directories, so that a second daemon ends here), events, workers and
// loop, settings, users, the queues, then the scan of the spill directory, and last the socket: no client is heard
// before every region is known and charged.
//
// Order of ending: the socket first, then the threads, then connections, queues and tables.  A thread that hangs in the
// disk is not waited for longer than STOP_TIMEOUT_MS: the process then ends without freeing anything (ending.c), which
// loses nothing, because a killed daemon loses nothing either.
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "daemon/account.h"
#include "daemon/config/config.h"
#include "daemon/config/limits.h"
#include "daemon/config/settings.h"
#include "daemon/conn/conn.h"
#include "daemon/conn/listener.h"
#include "daemon/disks.h"
#include "daemon/ending.h"
#include "daemon/events.h"
#include "daemon/fences.h"
#include "daemon/former.h"
#include "daemon/grace.h"
#include "daemon/halves.h"
#include "daemon/health.h"
#include "daemon/home.h"
#include "daemon/http/http.h"
#include "daemon/log.h"
#include "daemon/lookup.h"
#include "daemon/metrics/metrics.h"
#include "daemon/names.h"
#include "daemon/news.h"
#include "daemon/notify.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/opening.h"
#include "daemon/orphans.h"
#include "daemon/proc.h"
#include "daemon/quota/quota.h"
#include "daemon/quota/soft.h"
#include "daemon/recovery.h"
#include "daemon/reports.h"
#include "daemon/request/request.h"
#include "daemon/state.h"
#include "daemon/store/store.h"
#include "daemon/suspects.h"
#include "daemon/user.h"
#include "daemon/warnings.h"
#include "daemon/work/loop.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum {
    REPLY_ARENA_SIZE = 256 * 1024, // bytes
    STOP_TIMEOUT_MS = 5 * 1000,    // for running work to end
    OWN_DESCRIPTORS = 32 + 32,     // of the daemon itself, and of HTTP, beside those of connections and workers
};

// The listener may have stopped accepting because descriptors had run out.
static void on_conn_ended(void *data)
{
    struct daemon *d = data;

    if (d->listener)
        listener_resume(d->listener);
}

static bool serve(void *data)
{
    return conn_serve(data);
}

static void warn_of_few_descriptors(const struct config *config, uint64_t disk_total)
{
    const rlim_t not_for_connections = OWN_DESCRIPTORS + 2 * DAEMON_WORKERS;
    struct quota_limits limits;
    struct rlimit files;
    uint64_t wanted;

    config_total_limits(config, disk_total, &limits);
    wanted = limits.max[QUOTA_CONNECTIONS];
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
        return;
    if (files.rlim_cur < not_for_connections || wanted > files.rlim_cur - not_for_connections)
        log_warning("the process may open only %llu files, too few for the %s connections that [quota total] allows: "
                    "raise LimitNOFILE of the service",
                    (unsigned long long)files.rlim_cur, wanted == QUOTA_UNLIMITED ? "unlimited" : "many");
}

// For reports_set_parties.
static uint32_t party_of(void *data, uid_t uid)
{
    const struct daemon *d = data;
    const struct user *u = user_from(d->users, uid);

    return u && u->uid == uid ? user_lane(u) : uid;
}

static void listen_for_metrics(struct daemon *d)
{
    const struct config *config = settings_config(d->settings);

    http_listen(d->http, config->metrics_listen, config->metrics_socket_mode,
                config->admin_gid_known ? config->admin_gid : (gid_t)-1);
}

// Takes over the values that follow from the configuration: at start, and after each change.
static void on_settings_changed(void *data)
{
    struct daemon *d = data;
    struct request_env *env = &d->request;

    env->config = settings_config(d->settings);
    disks_configure(d, env->config);
    if (accounts_configure(d->accounts, env->config, env->space.total) < 0)
        log_error("out of memory: some users keep their former limits until the next reload");
    warn_of_few_descriptors(env->config, env->space.total);
    wait_poke(d->request.op.wait);
    if (d->listener)
        listen_for_metrics(d);
}

// For names_start.
static void on_names_changed(void *data)
{
    struct daemon *d = data;

    settings_names_changed(d->settings);
    lookup_names_changed(d->users);
}

// The user database has workers of its own: the disk's may all hang, and so may the database.
static int make_threads(struct daemon *d)
{
    int r = worker_pool_new(d->base, DAEMON_WORKERS, &d->pool);

    if (r == 0)
        r = worker_pool_let_grow(d->pool, DAEMON_MOST_WORKERS);
    if (r == 0)
        r = loop_new(d->base, d->pool, &d->loop);
    if (r == 0)
        r = worker_pool_new(d->base, DAEMON_LOOKUPS, &d->lookups);
    return r;
}

// Takes CONFIG.
static int make_settings(struct daemon *d, const struct settings_source *source, struct config *config)
{
    int r = settings_new(d->pool, d->home->store, source, config, on_settings_changed, d, &d->settings);

    if (r < 0) {
        config_free(config);
        return r;
    }
    r = settings_load_runtime(d->settings);
    d->bad_settings = r == -EINVAL;
    return r;
}

// Users, and the queues of operations.  The space of the disk must be known before limits in percent are.
static int make_tables(struct daemon *d)
{
    struct request_env *env = &d->request;
    int r = user_table_new(d->lookups, d->quota, &d->users);

    if (r == 0)
        r = accounts_new(d->users, d->quota, &d->accounts);
    if (r == 0)
        user_table_set_names(d->users, d->names);
    if (r == 0)
        accounts_set_overflow(d->accounts, proc_overflow_uid());
    if (r == 0)
        r = arena_init(&d->reply_arena, REPLY_ARENA_SIZE);
    if (r == 0)
        r = health_begin(d);
    if (r == 0)
        r = orphans_new(&d->regions, events_wake_for_orphans, d, &env->op.orphans);
    if (r == 0)
        r = wait_new(&d->regions, events_wake_for_waiting, d, &env->op.wait);
    if (r == 0)
        r = news_new(&env->op.news);
    if (r == 0)
        r = reports_new(&env->op.reports);
    if (r == 0)
        reports_set_parties(env->op.reports, party_of, d);
    if (r == 0)
        r = metrics_new(&env->metrics);
    if (r == 0)
        r = http_new(d->base, env, &d->http);
    return r;
}

// Tells requests and operations where the parts of the daemon are.
static int fill_request_env(struct daemon *d)
{
    struct request_env *env = &d->request;

    env->op.regions = &d->regions;
    env->op.pool = d->pool;
    env->quota = d->quota;
    env->users = d->users;
    env->accounts = d->accounts;
    env->settings = d->settings;
    env->reply_arena = &d->reply_arena;
    tally_init(&env->op.tally);
    env->started = (uint64_t)time(NULL);
    budget_init(&env->budget);
    TAILQ_INIT(&env->abandoned);
    return getrandom(env->generation, sizeof env->generation, 0) < 0 ? -errno : 0;
}

// Takes CONFIG.
static int make_parts(struct daemon *d, const struct settings_source *source, struct config *config)
{
    int r = events_init(d);

    if (r == 0) {
        region_table_init(&d->regions, store_block_size(d->home->store));
        d->has_regions = true;
        d->quota = quota_new();
        if (d->quota)
            quota_set_time(d->quota, (uint64_t)time(NULL));
        r = d->quota ? fences_init(d) : -ENOMEM;
    }
    if (r == 0)
        r = disks_fence(d, config);
    if (r == 0) {
        r = make_threads(d);
    }
    if (r < 0) {
        config_free(config);
        return r;
    }
    if (home_settle(d) < 0) {
        config_free(config);
        return -EIO;
    }
    r = make_settings(d, source, config);
    if (r == 0)
        r = make_tables(d);
    if (r == 0)
        r = fill_request_env(d);
    if (r < 0)
        return r;
    names_start(d->names, d->lookups, on_names_changed, d);
    settings_start(d->settings);
    warnings_start(d->quota, &d->request);
    d->has_conns = true;
    loop_on_turn(d->loop, serve, &d->conns);
    r = conn_env_init(&d->conns, d->base, &d->request);
    if (r == 0)
        r = recovery_run(d);
    if (r == 0)
        grace_load(d);
    if (r == 0)
        former_look(d);
    return r;
}

static int start_listening(struct daemon *d, int listen_fd)
{
    _cleanup_free_ char *error = NULL;
    const struct config *config = settings_config(d->settings);
    int r;

    d->conns.overflow_uid = proc_has_all_uids() ? (uid_t)-1 : proc_overflow_uid();
    d->conns.overflow_gid = proc_has_all_uids() ? (gid_t)-1 : proc_overflow_gid();
    d->conns.ended = on_conn_ended;
    d->conns.ended_data = d;
    if (listen_fd >= 0)
        r = listener_from_fd(d->base, &d->conns, listen_fd, &d->listener, &error);
    else
        r = listener_open(d->base, &d->conns, config->socket, config->socket_mode, &d->listener, &error);
    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r;
}

// For bug reports and for administrators who wonder what the daemon has found.
static void log_facts(const struct daemon *d)
{
    struct rlimit files = {0};

    getrlimit(RLIMIT_NOFILE, &files);
    disks_log(d);
    log_notice("diskallocd %s: limits of the process: %llu open files, %llu inotify watches", DISKALLOC_VERSION,
               (unsigned long long)files.rlim_cur, proc_number("/proc/sys/fs/inotify/max_user_watches"));
}

enum daemon_exit daemon_new(const struct settings_source *source, struct config *config, int listen_fd,
                            struct daemon **ret)
{
    struct daemon *d = calloc(1, sizeof *d);
    int r = d ? disks_open(d, config) : -ENOMEM;
    enum daemon_exit status = r == -EBUSY ? DAEMON_EXIT_TAKEN : r < 0 ? DAEMON_EXIT_FAILED : DAEMON_EXIT_OK;

    if (d)
        d->names = source->names;
    else
        log_error("cannot start: out of memory");
    if (status != DAEMON_EXIT_OK) {
        config_free(config);
        daemon_free(d);
        return status;
    }
    r = make_parts(d, source, config);
    if (r < 0)
        log_error("cannot start: %s", strerror(-r));
    else
        r = start_listening(d, listen_fd);
    if (r < 0) {
        status = d->bad_settings ? DAEMON_EXIT_CONFIG : DAEMON_EXIT_FAILED;
        d->exit_status = (int)status;
        daemon_free(d);
        return status;
    }
    listen_for_metrics(d);
    log_facts(d);
    *ret = d;
    return DAEMON_EXIT_OK;
}

enum daemon_exit daemon_run(struct daemon *d)
{
    int r;

    if (d->told_to_end)
        return DAEMON_EXIT_OK;
    r = loop_start(d->loop);
    if (r < 0) {
        log_error("cannot start: no thread can be made: %s", strerror(-r));
        return DAEMON_EXIT_FAILED;
    }
    notify_ready();
    if (loop_wait(d->loop) < 0) {
        log_error("the event loop failed");
        return DAEMON_EXIT_FAILED;
    }
    return DAEMON_EXIT_OK;
}

// Frees the table of regions.  Their files stay: the next daemon finds them.
static void forget_regions(struct daemon *d)
{
    struct region *r;

    while (d->has_regions && (r = region_next(&d->regions, NULL))) {
        struct op *op;

        while ((op = TAILQ_FIRST(&r->ops))) {
            TAILQ_REMOVE(&r->ops, op, entry);
            cleanup_close(&op->file);
            ranges_deinit(&op->discarded);
            op->result = -ESHUTDOWN;
            op->done(op);
        }
        region_remove(&d->regions, r);
        r->orphaned = false;
        suspects_forget(d->request.op.suspects, r);
        region_free(r);
    }
}

// False: a thread hangs, in the disk or in the user database.
static bool stop_threads(struct daemon *d)
{
    const uint64_t deadline = clock_after(STOP_TIMEOUT_MS);
    bool stopped = !d->loop || loop_stop(d->loop, (unsigned)clock_left(deadline));

    stopped = (!d->pool || worker_pool_stop(d->pool, (unsigned)clock_left(deadline))) && stopped;
    return (!d->lookups || worker_pool_stop(d->lookups, (unsigned)clock_left(deadline))) && stopped;
}

void daemon_free(struct daemon *d)
{
    if (!d)
        return;
    listener_close(d->listener);
    d->listener = NULL;
    http_free(d->http);
    d->http = NULL;
    if (!stop_threads(d)) {
        log_warning("the disk does not answer: ending without waiting for it");
        if (d->has_conns)
            conn_env_abandon(&d->conns);
        ending_leave(d->request.op.disks, d->exit_status);
    }
    if (d->has_conns)
        conn_env_deinit(&d->conns);
    op_end_waiting(&d->request.op);
    op_end_waiting(&d->request.op);
    wait_free(d->request.op.wait);
    settings_free(d->settings);
    forget_regions(d);
    orphans_free(d->request.op.orphans);
    news_free(d->request.op.news);
    reports_free(d->request.op.reports);
    d->request.op.reports = NULL;
    metrics_free(d->request.metrics);
    loop_free(d->loop);
    if (d->pool)
        worker_pool_free(d->pool);
    if (d->lookups)
        worker_pool_free(d->lookups);
    opening_forget(d);
    former_forget(d);
    halves_forget(&d->halves, NULL);
    user_table_free(d->users);
    accounts_free(d->accounts);
    if (d->quota)
        quota_free(d->quota);
    free(d->grace_text);
    arena_deinit(&d->reply_arena);
    disks_close(d);
    fences_deinit(d);
    events_deinit(d);
    free(d);
}
