// The daemon as a whole: it is made here, runs, and is freed in the reverse order.
//
// Order of making: the disks (locks the spill directories, so that a second daemon ends here), the parts (parts.c), and
// last the socket: no client is heard before every region is known and charged.
//
// Order of ending: the socket first, then the threads, then connections, queues and tables.  A thread that hangs in the
// disk is not waited for longer than STOP_TIMEOUT_MS: the process then ends without freeing anything (ending.c), which
// loses nothing, because a killed daemon loses nothing either.
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/account.h"
#include "daemon/config/config.h"
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
#include "daemon/http/http.h"
#include "daemon/log.h"
#include "daemon/metrics/metrics.h"
#include "daemon/news.h"
#include "daemon/notify.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/opening.h"
#include "daemon/orphans.h"
#include "daemon/parts.h"
#include "daemon/proc.h"
#include "daemon/quota/quota.h"
#include "daemon/reports.h"
#include "daemon/state.h"
#include "daemon/store/store.h"
#include "daemon/suspects.h"
#include "daemon/user.h"
#include "daemon/work/loop.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/idmap.h"

enum { STOP_TIMEOUT_MS = 5 * 1000 }; // for running work to end

// The listener may have stopped accepting because descriptors had run out.
static void on_conn_ended(void *data)
{
    struct daemon *d = data;

    if (d->listener)
        listener_resume(d->listener);
}

static int start_listening(struct daemon *d, int listen_fd)
{
    _cleanup_free_ char *error = NULL;
    const struct config *config = settings_config(d->settings);
    int r;

    d->conns.overflow_uid = idmap_has_all_uids() ? (uid_t)-1 : proc_overflow_uid();
    d->conns.overflow_gid = idmap_has_all_uids() ? (gid_t)-1 : proc_overflow_gid();
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

// R: 0 or -errno of the start.
static enum daemon_exit exit_of(int r)
{
    return r >= 0 ? DAEMON_EXIT_OK : store_is_shortage(r) ? DAEMON_EXIT_SHORT : DAEMON_EXIT_FAILED;
}

enum daemon_exit daemon_new(const struct settings_source *source, struct config *config, int listen_fd,
                            struct daemon **ret)
{
    struct daemon *d = calloc(1, sizeof *d);
    int r = d ? disks_open(d, config) : -ENOMEM;
    enum daemon_exit status = r == -EBUSY ? DAEMON_EXIT_TAKEN : exit_of(r);

    if (d)
        d->names = source->names;
    else
        log_error("cannot start: out of memory");
    if (status != DAEMON_EXIT_OK) {
        config_free(config);
        daemon_free(d);
        return status;
    }
    r = parts_make(d, source, config);
    if (r < 0)
        log_error("cannot start: %s", strerror(-r));
    else
        r = start_listening(d, listen_fd);
    if (r < 0) {
        status = d->bad_settings ? DAEMON_EXIT_CONFIG : exit_of(r);
        d->exit_status = (int)status;
        daemon_free(d);
        return status;
    }
    parts_listen_for_metrics(d);
    opening_await(d);
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

static void end_operations(struct region *r)
{
    struct op *op;

    while ((op = TAILQ_FIRST(&r->ops))) {
        TAILQ_REMOVE(&r->ops, op, entry);
        cleanup_close(&op->file);
        ranges_deinit(&op->discarded);
        free(op->identities);
        free(op->by_disk);
        op->result = -ESHUTDOWN;
        op->done(op);
    }
}

// Frees the table of regions.  Their files stay: the next daemon finds them.
static void forget_regions(struct daemon *d)
{
    struct region *r;

    if (!d->has_regions)
        return;
    // All of them first: an operation may have a second region, the source of a clone.
    for (r = region_next(&d->regions, NULL); r; r = region_next(&d->regions, &r->record.handle))
        end_operations(r);
    while ((r = region_next(&d->regions, NULL))) {
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
    grace_forget(d);
    arena_deinit(&d->reply_arena);
    disks_close(d);
    fences_deinit(d);
    events_deinit(d);
    free(d);
}
