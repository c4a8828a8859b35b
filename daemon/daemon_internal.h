// The daemon's parts, for daemon.c (making and unmaking it) and daemon_events.c (what happens meanwhile).
#pragma once
#include <stdbool.h>

#include "daemon/conn/conn.h"
#include "daemon/daemon.h"
#include "daemon/op/op.h"
#include "daemon/quota/quota.h"
#include "daemon/request/arena.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "daemon/work/worker.h"

struct event;
struct event_base;

enum {
    DAEMON_WORKERS = 8,
    DAEMON_LOOKUPS = 4, // workers for the user database
};

struct daemon {
    struct event_base *base;
    struct event *on_term, *on_int, *on_hup, *orphans, *waiting, *space_timer, *watchdog;
    uint64_t told[3]; // regions, bytes, clients, as the service manager knows them
    struct settings *settings;
    bool bad_settings; // the run-time quotas make no sense
    struct store *store;
    struct quota *quota;
    struct user_table *users;
    struct region_table regions;
    struct worker_pool *pool, *lookups; // the disk's, and the user database's: neither waits for the other
    struct loop *loop;
    struct wait_queue *wait;
    struct arena reply_arena;
    struct request_env request;
    struct conn_env conns;
    struct listener *listener;
    bool has_conns, has_regions;
    unsigned n_postponed; // turns of the loop, for those that wait
    // The disk's space is asked on a worker.
    struct work space_work;
    bool space_asked;
    struct store_space fresh_space;
    int space_result;
};

// Signals and timers: 0 or -ENOMEM.
int daemon_make_events(struct daemon *d);
void daemon_free_events(struct daemon *d);
// What follows from the configuration, at start and whenever it is another.
void daemon_settings_changed(void *data);
void daemon_on_quota_warning(void *data, const struct quota_account *a, uint64_t used, uint64_t limit);
void daemon_wake_for_orphans(void *data, uint64_t at);
void daemon_wake_for_waiting(void *data, uint64_t at);
