// A piece of work for a worker.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct lane;

enum work_status {
    WORK_DONE,
    WORK_AGAIN, // one piece is done: run() must be called again, after the lane's other work
};

// Lanes that are no user's.
#define WORK_LANE_UNLISTED UINT32_MAX               // of all uids that share the account of the unlisted
#define WORK_LANE_NAMES (UINT32_MAX - 1)            // for looking up the names of the configuration
#define WORK_LANE_TRIALS (UINT32_MAX + UINT64_C(1)) // for touching disks that may hang
#define WORK_LANE_DAEMON UINT64_MAX                 // of what the daemon does for itself: no client can hold that up

// A piece of work, embedded in the struct that it is about.  From worker_submit until done() it belongs to the pool.
struct work {
    uint64_t lane; // whose share of the workers this work takes: see user_lane, and the lanes above
    // The lane has a share of its own for each value.  Operations: the number of the disk, or as share_of in op/queue.c
    // says.  WORK_LANE_TRIALS: the index of the directory in the configuration, or, for opening_await, its index among
    // those that hang.
    unsigned disk;
    bool brief;   // ends soon on a healthy disk: the worker for brief work may take it
    bool instant; // takes microseconds: the thread that turns the loop may run it, see loop.c
    // Set by run, for the present piece: it may take very long on a healthy disk, and does not show that the work is
    // held up.  The pool takes it back when the piece has ended.
    atomic_bool slow;
    enum work_status (*run)(struct work *w); // on a worker, or on the loop's thread outside of the loop
    void (*done)(struct work *w);            // on the loop
    TAILQ_ENTRY(work) entry;                 // this and the next fields: the pool's
    struct lane *queue;
    bool waits;     // for a worker, in the queue of the lane
    bool has_begun; // a piece runs or has run
    uint64_t since; // ms, monotonic: since when it waits for a worker, or the present piece runs
};
TAILQ_HEAD(work_queue, work);
