// The regions that exist, by handle and by name. These are tables only; operations (daemon/op/) change the files.
// All functions run on the loop, but region_close_file.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/fence/projects.h"
#include "daemon/holders.h"
#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"
#include "daemon/tree.h"
#include "proto/spill/record.h"
#include "proto/util/ranges.h"

struct disk;
struct op;
struct suspicion;
struct user;

enum region_state {
    REGION_BEING_MADE, // op_create has not succeeded yet: the file has no name
    REGION_LIVE,
    REGION_GONE, // out of the tables; exists until no operation on it is queued
};

struct region {
    uint64_t size;              // bytes; the file's size
    struct ranges discarded;    // whole blocks below size that are not granted
    struct quota_charge charge; // all bytes that are granted, and one region
    struct user *owner;         // a reference
    enum region_state state;
    struct disk *disk; // where its file is; of a region that is being made: where it will be, NULL: not chosen yet
    struct holders holders;
    RB_ENTRY(region) by_handle, by_name;
    // op/queue.c's:
    TAILQ_HEAD(, op) ops; // the first operation is at work, the others wait for it
    unsigned n_parked;    // operations that wait for a limit, outside ops
    unsigned n_readers;   // clones that copy this region's file
    bool io_error_told;   // the log has named an error of this region's file
    bool lost_content;    // a clone was told that content did not come to the disk, and no durable commit was yet
    bool stuck_told;      // the log has named the holders of this region, which may hold operations up
    struct op *mover;     // the operation that moves the region to another disk, from its submission on; NULL: none
    struct op *asker;     // op/ask.c's: the shrink that waits for the agreement of others; NULL: none
    // op/consent.c's: the fence knows who maps the region, if this is still its generation (fence_generation)
    uint64_t generation;
    struct project project; // op/bound.c's
    // op/kept_file.c's:
    int file;            // the region's file, open for the next grow; -1: not open
    bool file_is_listed; // in the table's list with_file
    bool file_was_used;  // since the last sweep
    TAILQ_ENTRY(region) with_file;
    // suspects.c's:
    struct suspicion *suspicion; // NULL: nothing is remembered
    // op/verify.c's:
    uint64_t changed_at; // ms, monotonic: the last operation that wrote to the file ended
    bool has_odd_end;    // see struct store_grant
    // orphans.c's:
    bool orphaned; // in the queue of orphans
    bool orphan_is_due;
    bool releasing;           // counted in n_releasing, of the table and of the owner
    unsigned n_probes;        // since it became an orphan
    uint64_t probe_at;        // ms, monotonic: when the next probe is due
    uint64_t expiry_retry_at; // op/expire.c's: ms, monotonic
    int64_t clock_set_by;     // op/expire.c's: see struct calendar; when record.unused_since was noted
    TAILQ_ENTRY(region) orphan;
    // The record as written to the file.  This field comes last, because the struct ends with the record's name and is
    // no longer than that.  See record_copy.
    struct record record;
};
RB_HEAD(region_by_handle, region);
RB_HEAD(region_by_name, region);

struct region_table {
    struct region_by_handle by_handle;
    struct region_by_name by_name;              // of the regions that have a name
    uint64_t n_regions, n_orphans, n_releasing; // all; orphans, probed ones too; about to give back charge
    unsigned n_leaving;                         // connections that end, and have regions or requests
    TAILQ_HEAD(, region) with_file;             // n_files of them
    unsigned n_files;
    uint32_t block_size; // bytes
};

void region_table_init(struct region_table *t, uint32_t block_size);
struct region *region_find(struct region_table *t, const struct handle *handle);
struct region *region_find_name(struct region_table *t, uid_t owner, const char *name, size_t n);
// The region with the next handle after AFTER; NULL as AFTER: the first region.
struct region *region_next(struct region_table *t, const struct handle *after);
// Makes a region of RECORD and enters it into the tables, without a charge.  Takes a reference to OWNER.  NULL: no
// memory.
struct region *region_add(struct region_table *t, const struct record *record, struct user *owner);
// Takes R out of the tables and gives its charge back.  The file must have been unlinked, or the daemon ends.
void region_remove(struct region_table *t, struct region *r);
void region_free(struct region *r); // after region_remove; asserts that R is neither attached nor busy
void region_set_disk(struct region *r, struct disk *disk); // from now on the charge of R counts there
void region_drop_name(struct region_table *t, struct region *r);

// SIZE bytes rounded up to blocks: the charge of a region of which nothing is discarded.  0, or -EOVERFLOW.
int region_charge_of(const struct region_table *t, uint64_t size, uint64_t *ret);
// Whether more than one process may map R.  Then no part of it is taken away.
bool region_is_shared(struct region *r);
bool region_is_busy(const struct region *r);      // an operation on R is at work, queued or waiting, or reads R
bool region_is_transient(const struct region *r); // R has no name: it is removed when nobody uses it any more
// Counts R among the regions that are about to give back a part of their charge, or not.
void region_set_releasing(struct region_table *t, struct region *r, bool releasing);

// Closes the file that is kept open, if any.  On any thread, by the operation at work; region_note_file follows, on
// the loop.
void region_close_file(struct region *r);
// Lists R with the open files, or not, according to r->file; notes that R was used.
void region_note_file(struct region_table *t, struct region *r);
