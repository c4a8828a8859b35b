// The parts of the daemon are made here from the configuration, and tied together.
//
// Order: events, workers and loop, settings, users, the queues, then the scan of the spill directories.
#include "daemon/parts.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "daemon/account.h"
#include "daemon/config/config.h"
#include "daemon/config/limits.h"
#include "daemon/config/settings.h"
#include "daemon/conn/conn.h"
#include "daemon/disks.h"
#include "daemon/events.h"
#include "daemon/fences.h"
#include "daemon/former.h"
#include "daemon/grace.h"
#include "daemon/home.h"
#include "daemon/http/http.h"
#include "daemon/log.h"
#include "daemon/lookup.h"
#include "daemon/metrics/metrics.h"
#include "daemon/names.h"
#include "daemon/news.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/proc.h"
#include "daemon/quota/quota.h"
#include "daemon/quota/soft.h"
#include "daemon/recovery.h"
#include "daemon/reports.h"
#include "daemon/request/request.h"
#include "daemon/state.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "daemon/warnings.h"
#include "daemon/work/loop.h"
#include "daemon/work/worker.h"

enum {
    REPLY_ARENA_SIZE = 256 * 1024, // bytes
    OWN_DESCRIPTORS = 32 + 32,     // of the daemon itself, and of HTTP, beside those of connections and workers
};

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

void parts_listen_for_metrics(struct daemon *d)
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
    d->marks_are_due = true;
    warn_of_few_descriptors(env->config, env->space.total);
    wait_poke(d->request.op.wait);
    if (d->listener)
        parts_listen_for_metrics(d);
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
        r = disks_look(d);
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
    rounds_init(&env->abandoned);
    return getrandom(env->generation, sizeof env->generation, 0) < 0 ? -errno : 0;
}

int parts_make(struct daemon *d, const struct settings_source *source, struct config *config)
{
    int r = events_init(d);

    if (r == 0) {
        region_table_init(&d->regions, store_block_size(d->home->store));
        d->has_regions = true;
        d->quota = quota_new();
        if (d->quota)
            quota_set_time(d->quota, calendar_now(&d->request.op.calendar));
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
    r = make_settings(d, source, config);
    if (r == 0) {
        home_settle(d);
        r = make_tables(d);
    }
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
