// The parts of the daemon, in one struct.  daemon.c makes and frees them; events.c uses them while the daemon runs.
#pragma once
#include <stdbool.h>

#include "daemon/config/config.h"
#include "daemon/conn/conn.h"
#include "daemon/disk.h"
#include "daemon/quota/quota.h"
#include "daemon/region.h"
#include "daemon/request/arena.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "daemon/work/worker.h"

struct event;
struct event_base;
struct former_look;
struct half;
struct http;
struct opening;

enum {
    DAEMON_WORKERS = 8,        // threads for the disk
    DAEMON_MOST_WORKERS = 256, // while clients hold some of them up
    DAEMON_LOOKUPS = 4,        // threads for the user database
};

// A disk, and what the daemon keeps for it beside operations.  All fields belong to the loop's thread, but those that
// look writes, while is_asked.
struct daemon_disk {
    struct disk disk;
    struct daemon *daemon;
    // fences.c's:
    struct event *tripped, *trip_timer; // the tripwire has news; they are to be read
    unsigned n_blind_ticks;
    bool quotas_wait; // home.c's: quotas that were set here, when this was the first disk, are not taken over yet
    // recovery.c's:
    bool has_watched; // watched is valid
    uid_t watched;    // the owner whose directory the scan has had watched last
    // health.c's:
    struct work look;  // asks the disk for its space and health, on a worker
    bool is_asked;     // look is submitted
    bool lays_ghosts;  // look also notes that former daemons have been looked after
    uint64_t asked_at; // ms, monotonic
    uint64_t settled;  // bytes that were granted then, and had their blocks
    int space_result;  // written by look, like the next two: 0 or -errno
    struct store_space fresh_space;
    struct store_health fresh_health;
};

// All fields belong to the loop's thread.
struct daemon {
    struct event_base *base;
    struct event *on_term, *on_int, *on_hup; // signals
    struct event *orphans;                   // a timer: probe the orphans that are due
    struct event *waiting;                   // a timer: try the operations that wait for a limit
    uint64_t orphans_due, waiting_due;       // when these two fire, if they are set: ms, monotonic
    struct event *space_timer, *watchdog;    // timers with a period
    struct event *suspects;                  // a timer: look at the suspects that are due
    uint64_t suspects_at;                    // ms, monotonic: when it is due; UINT64_MAX: it is not set
    struct event *names_timer;               // a timer with a period: the user database is asked again
    uint64_t told[3];                        // regions, bytes, connections: as last told to the service manager
    struct settings *settings;
    enum config_fence fence;      // as the configuration said at the start
    int exit_status;              // of a daemon that ends without waiting for its threads
    bool told_to_end;             // by a signal
    bool bad_settings;            // the file of the run-time quotas has a mistake
    unsigned n_disks;             // in use
    struct half *halves;          // recovery.c's: of moves, whose other disk is not there
    struct opening *opening;      // opening.c's: a disk that is being added; NULL: none is
    struct opening_trial *trials; // opening.c's: disks that are asked whether they answer
    struct former_look *former;   // former.c's, while it looks
    struct disk *home;            // keeps what is of no single disk: .quota and .grace
    struct quota *quota;
    struct names *names; // the caller's of daemon_new
    struct user_table *users;
    struct accounts *accounts;
    struct region_table regions;
    struct worker_pool *pool;    // for the disk
    struct worker_pool *lookups; // for the user database: a hung disk must not delay it, nor it the disk
    struct loop *loop;
    struct arena reply_arena;
    struct request_env request;
    struct conn_env conns;
    struct listener *listener;
    struct http *http;           // metrics and the page
    bool has_conns, has_regions; // conns and regions are initialised
    bool missed_timer;           // for want of memory, ORPHANS or WAITING was not set: space_timer does their work
    uint64_t postponed_at;       // ms, monotonic: since when the timer WAITING is put off; 0: it is not
    // grace.c's:
    bool marks_are_due; // limits or charges have changed in another way than by a request: see quota_tell_all
    struct work grace_work;
    char *grace_text;               // what is written at present, or NULL
    uint64_t grace_written;         // quota_over_changes of what was written last
    int grace_result;               // 0 or -errno
    bool grace_failed;              // the last try
    struct quota_over *grace_notes; // an earlier daemon's, of accounts that are not above their soft limits yet
    size_t n_grace_notes;
    int64_t clock_set_by;   // see struct calendar: as the accounts and the notes have it
    uint64_t grace_settled; // a time of proto/util/clock.h: what is left of them then is forgotten
};
