// The parts of the daemon that operations use, and what the daemon has done to all operations from time to time.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/calendar.h"
#include "daemon/region.h"
#include "daemon/tally.h"

struct attachment;
struct disk;
struct news;
struct orphans;
struct reports;
struct suspects;
struct wait_queue;
struct worker_pool;

struct op_env {
    struct tally tally; // the loop's
    struct disk *disks; // the first one
    struct region_table *regions;
    struct worker_pool *pool;
    struct orphans *orphans;
    struct wait_queue *wait;
    struct reports *reports;   // NULL, in tests: nobody watches
    struct news *news;         // NULL, in tests: nobody is told of changes, nor asked
    struct suspects *suspects; // NULL, in tests: no file is looked at
    uint64_t n_mended;         // files that were made again what is granted of them; the loop's
    uint64_t full_audited;     // when a full disk last made all regions suspects (ms, monotonic); 0: never
    LIST_HEAD(, op) at_work;   // operations that are submitted to the pool
    uint64_t n_repairs;        // regions whose files are still to be made what their records say
    struct calendar calendar;  // of expire.c and grace.c
    // expire.c's: operations under way, and the region that was looked at last, if there is one
    unsigned n_expiring;
    bool has_expiry_cursor;
    struct handle expiry_cursor;
};

// Tries the operations that wait for a limit, and ends those that have waited long enough.  NOW: ms, monotonic.
void op_resume_waiting(struct op_env *env, uint64_t now);
// Ends all operations that wait for a limit with -ESHUTDOWN.
void op_end_waiting(struct op_env *env);
// Probes the orphans that are due at NOW (ms, monotonic) and removes those that nobody uses.
void op_reap_orphans(struct op_env *env, uint64_t now);
// At start: makes R's file what its record says, as an operation.  Adds one to *N_LACKING if some granted bytes get no
// blocks.  0 or -ENOMEM.
int op_repair_region(struct op_env *env, struct region *r, uint64_t *n_lacking);
// Ends the operations on regions of DISK that are held up by others, and tells the log who may hold their files.
// ANSWERED: when the disk was asked a question that it has answered (ms, monotonic).
void op_end_stuck(struct op_env *env, struct disk *disk, uint64_t answered);
// Whether an operation on a region of DISK has been at work for so long that op_end_stuck might end it, as of NOW (ms,
// monotonic).
bool op_seem_stuck(const struct op_env *env, const struct disk *disk, uint64_t now);
// Bytes that are charged and for which blocks are being allocated on DISK.
uint64_t op_bytes_at_work(const struct op_env *env, const struct disk *disk);
// Looks at the files of the regions that are due at NOW (ms, monotonic), and makes them what is granted.
void op_verify_suspects(struct op_env *env, uint64_t now);
// Looks at some regions that are to be removed when nobody uses them, and removes those whose time is over.  Called
// once a second.
void op_expire_unused(struct op_env *env);
// Tells the submitters of clones how far these have come.
void op_tell_progress(struct op_env *env);
// Closes the files that were kept open for a next grow, if no grow has come since the last call.
void op_close_unused_files(struct op_env *env);
