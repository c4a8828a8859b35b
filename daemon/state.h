// The parts of the daemon, in one struct.  daemon.c makes and frees them; events.c uses them while the daemon runs.
#pragma once
#include <stdbool.h>

#include "daemon/conn/conn.h"
#include "daemon/quota/quota.h"
#include "daemon/region.h"
#include "daemon/request/arena.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "daemon/work/worker.h"

struct event;
struct event_base;

enum {
    DAEMON_WORKERS = 8, // threads for the disk
    DAEMON_LOOKUPS = 4, // threads for the user database
};

// All fields belong to the loop's thread, but fresh_space and space_result while space_asked.
struct daemon {
    struct event_base *base;
    struct event *on_term, *on_int, *on_hup; // signals
    struct event *orphans;                   // a timer: probe the orphans that are due
    struct event *waiting;                   // a timer: try the operations that wait for a limit
    struct event *space_timer, *watchdog;    // timers with a period
    uint64_t told[3];                        // regions, bytes, connections: as last told to the service manager
    struct settings *settings;
    bool bad_settings; // the file of the run-time quotas has a mistake
    struct store *store;
    struct quota *quota;
    struct user_table *users;
    struct region_table regions;
    struct worker_pool *pool;    // for the disk
    struct worker_pool *lookups; // for the user database: a hung disk must not delay it, nor it the disk
    struct loop *loop;
    struct arena reply_arena;
    struct request_env request;
    struct conn_env conns;
    struct listener *listener;
    bool has_conns, has_regions;    // conns and regions are initialised
    unsigned n_postponed;           // turns of the loop by which the timer WAITING has been put off
    struct work space_work;         // asks the disk for its space, on a worker
    bool space_asked;               // space_work is submitted
    struct store_space fresh_space; // written by space_work
    int space_result;               // the same: 0 or -errno
};
