#include "daemon/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/settings.h"
#include "daemon/conn/conn.h"
#include "daemon/conn/listener.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/quota/quota.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "daemon/work/loop.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/size.h"

#include "daemon/daemon_internal.h"

enum {
    REPLY_ARENA_SIZE = 256 * 1024,
    STOP_TIMEOUT_MS = 5 * 1000, // for what workers are at when the daemon ends
};

static void on_conn_ended(void *data)
{
    struct daemon *d = data;

    if (d->listener)
        listener_resume(d->listener);
}

static int found_region(void *data, struct store_found *found)
{
    struct daemon *d = data;
    const struct record *record = &found->record;
    struct user *owner = user_ref(d->users, record->owner_uid);
    struct region *r;
    uint64_t charge;

    if (!owner || region_charge_of(&d->regions, found->size, &charge) < 0)
        return -ENOMEM;
    if (!owner->known)
        user_read_now(owner);
    if (record->name_length > 0 &&
        region_find_name(&d->regions, record->owner_uid, record->name, record->name_length)) {
        log_warning("uid %u has two regions with the name %s; one of them is left alone", record->owner_uid,
                    record->name);
        user_unref(owner);
        return 0;
    }
    if (region_find(&d->regions, &record->handle)) {
        log_warning("uid %u has a region with another's handle; it is left alone", record->owner_uid);
        user_unref(owner);
        return 0;
    }
    r = region_add(&d->regions, record, owner);
    user_unref(owner); // the region has its own
    if (!r)
        return -ENOMEM;
    r->size = found->size;
    if (r->record.used > r->size) // it was cut after the commit
        r->record.used = r->size;
    r->discarded = found->discarded;
    found->discarded = (struct ranges){0};
    r->state = REGION_LIVE;
    r->maybe_shared = record->flags & RECORD_SHARED;
    r->boot_is_over = memcmp(&record->boot, &d->request.boot, sizeof record->boot) != 0;
    quota_charge_force(&r->charge, QUOTA_REGIONS, 1);
    quota_charge_force(&r->charge, QUOTA_BYTES, charge - r->discarded.sum);
    orphans_consider(d->request.op.orphans, r);
    return 0;
}

static enum daemon_exit open_store(struct daemon *d, const struct config *config)
{
    _cleanup_free_ char *error = NULL;
    int r = store_open(config->spill_dir, config->spill_dir_require_mount, &file_ops_system, &d->store, &error);

    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r == -EBUSY ? DAEMON_EXIT_TAKEN : r < 0 ? DAEMON_EXIT_FAILED : DAEMON_EXIT_OK;
}

static bool serve(void *data)
{
    return conn_serve(data);
}

static int make_tables(struct daemon *d, const struct settings_source *source, struct config *config)
{
    struct request_env *env = &d->request;
    int r;

    request_env_init(env);
    region_table_init(&d->regions, store_block_size(d->store));
    d->has_regions = true;
    d->quota = quota_new();
    if (!d->quota)
        return -ENOMEM;
    r = worker_pool_new(d->base, DAEMON_WORKERS, &d->pool);
    if (r == 0)
        r = loop_new(d->base, d->pool, &d->loop);
    if (r == 0)
        r = worker_pool_new(d->base, DAEMON_LOOKUPS, &d->lookups);
    if (r == 0)
        r = settings_new(d->pool, d->store, source, config, daemon_settings_changed, d, &d->settings);
    if (r < 0)
        config_free(config);
    if (r == 0) {
        r = settings_load_runtime(d->settings);
        d->bad_settings = r == -EINVAL;
    }
    if (r == 0)
        r = user_table_new(d->lookups, d->quota, &d->users);
    if (r == 0)
        r = arena_init(&d->reply_arena, REPLY_ARENA_SIZE);
    if (r == 0)
        r = store_space(d->store, &env->space);
    if (r == 0)
        r = orphans_new(&d->regions, daemon_wake_for_orphans, d, &d->request.op.orphans);
    if (r == 0)
        r = wait_new(&d->regions, daemon_wake_for_waiting, d, &d->wait);
    if (r < 0)
        return r;
    env->op.wait = d->wait;
    env->op.store = d->store;
    env->op.regions = &d->regions;
    env->op.pool = d->pool;

    env->quota = d->quota;
    env->users = d->users;
    env->settings = d->settings;
    env->reply_arena = &d->reply_arena;
    env->boot = boot_id_read();
    env->started = (uint64_t)time(NULL);
    if (getrandom(env->generation, sizeof env->generation, 0) < 0)
        return -errno;
    daemon_settings_changed(d);
    quota_on_warning(d->quota, daemon_on_quota_warning, d);
    d->has_conns = true;
    loop_on_turn(d->loop, serve, &d->conns);
    return conn_env_init(&d->conns, d->base, env);
}

// A number in a file of /proc; 0: it cannot be read.
static unsigned long long read_number(const char *path)
{
    unsigned long long n = 0;
    FILE *f = fopen(path, "re");

    if (f) {
        if (fscanf(f, "%llu", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

static int start_listening(struct daemon *d, int listen_fd)
{
    _cleanup_free_ char *error = NULL;
    unsigned long long overflow_uid;
    int r;

    overflow_uid = read_number("/proc/sys/kernel/overflowuid");
    d->conns.overflow_uid = overflow_uid ? (uid_t)overflow_uid : 65534;
    d->conns.ended = on_conn_ended;
    d->conns.ended_data = d;
    if (listen_fd >= 0)
        r = listener_from_fd(d->base, &d->conns, listen_fd, &d->listener, &error);
    else
        r = listener_open(d->base, &d->conns, settings_config(d->settings)->socket,
                          settings_config(d->settings)->socket_mode, &d->listener, &error);
    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r;
}

static void log_facts(const struct daemon *d)
{
    const struct spillfile_guarantee *g = store_guarantee(d->store);
    char bytes[SIZE_TEXT_MAX], available[SIZE_TEXT_MAX], keep[SIZE_TEXT_MAX];
    struct rlimit files = {0};

    getrlimit(RLIMIT_NOFILE, &files);
    log_notice("diskallocd %s: %s on %s, guarantee %s%s%s, discard %s; %s available, %s kept free; %" PRIu64
               " regions with %s are there; %llu files may be open, %llu inotify watches be had",
               DISKALLOC_VERSION, store_dir(d->store), g->file_system, g->hard ? "hard" : "soft", g->hard ? "" : ": ",
               g->reason, g->can_discard ? "works" : "does not work",
               size_format(d->request.space.available, available), size_format(d->request.op.keep_free, keep),
               d->regions.n_regions, size_format(quota_account_used(quota_total(d->quota), QUOTA_BYTES), bytes),
               (unsigned long long)files.rlim_cur, read_number("/proc/sys/fs/inotify/max_user_watches"));
}

enum daemon_exit daemon_new(const struct settings_source *source, struct config *config, int listen_fd,
                            struct daemon **ret)
{
    struct daemon *d = calloc(1, sizeof *d);
    enum daemon_exit status;
    int r;

    if (!d) {
        config_free(config);
        return DAEMON_EXIT_FAILED;
    }
    status = open_store(d, config);
    if (status != DAEMON_EXIT_OK) {
        config_free(config);
        daemon_free(d);
        return status;
    }
    r = daemon_make_events(d);
    if (r < 0)
        config_free(config);
    else
        r = make_tables(d, source, config);
    if (r == 0)
        r = store_scan(d->store, found_region, d, &d->request.n_foreign);
    if (r < 0)
        log_error("cannot start: %s", strerror(-r));
    else
        r = start_listening(d, listen_fd);
    if (r < 0) {
        status = d->bad_settings ? DAEMON_EXIT_CONFIG : DAEMON_EXIT_FAILED;
        daemon_free(d);
        return status;
    }
    log_facts(d);
    *ret = d;
    return DAEMON_EXIT_OK;
}

enum daemon_exit daemon_run(struct daemon *d)
{
    notify_ready();
    if (loop_run(d->loop) < 0) {
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
            ranges_deinit(&op->discarded);
            op->result = -ESHUTDOWN;
            op->done(op);
        }
        region_remove(&d->regions, r);
        r->orphaned = false;
        region_free(r);
    }
}

// False: something that they wait for does not answer.
static bool stop_threads(struct daemon *d)
{
    return (!d->loop || loop_stop(d->loop, STOP_TIMEOUT_MS)) &&
           (!d->pool || worker_pool_stop(d->pool, STOP_TIMEOUT_MS)) &&
           (!d->lookups || worker_pool_stop(d->lookups, STOP_TIMEOUT_MS));
}

void daemon_free(struct daemon *d)
{
    if (!d)
        return;
    listener_close(d->listener);
    d->listener = NULL;
    if (!stop_threads(d)) {
        log_warning("the disk does not answer: ending without waiting for it");
        _exit(DAEMON_EXIT_OK);
    }
    if (d->has_conns)
        conn_env_deinit(&d->conns);
    op_end_waiting(&d->request.op);
    wait_free(d->wait);
    settings_free(d->settings);
    forget_regions(d);
    orphans_free(d->request.op.orphans);
    loop_free(d->loop);
    if (d->pool)
        worker_pool_free(d->pool);
    if (d->lookups)
        worker_pool_free(d->lookups);
    user_table_free(d->users);
    if (d->quota)
        quota_free(d->quota);
    if (d->has_regions)
        request_env_deinit(&d->request);
    arena_deinit(&d->reply_arena);
    store_close(d->store);
    daemon_free_events(d);
    free(d);
}
