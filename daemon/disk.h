// A disk: one spill directory of the daemon with its file system, its fences, and what the daemon knows of them.
//
// Each region is on one disk (region.disk).  The loop owns the fields; workers read those that are atomic, and use the
// store and the fences.  A disk lives as long as the daemon.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/quota/charge.h"
#include "daemon/store/store.h"

struct config_disk;
struct fence;
struct projects;

struct disk {
    struct disk *next; // in the order of the configuration; NULL: this is the last one
    unsigned number;   // unlike that of any other disk; below 64
    struct store *store;
    struct fence *fence;            // NULL, in tests: descriptors are plain
    struct projects *projects;      // NULL: the fence of project quotas does not hold
    const struct config_disk *rule; // which regions go here, see disk_choose; NULL: all
    bool is_leaving;                // the configuration names it no longer: nothing new is made here
    const char *problem;            // why nothing new is granted; NULL: all is well
    uint64_t answered;        // op/stuck.c's: when the last question that it has answered was asked (ms, monotonic)
    uint64_t full_told;       // when a refusal by the disk was logged last (ms, monotonic); 0: never
    struct store_space space; // renewed from time to time (daemon/health.c), as is health
    struct store_health health;
    struct quota_tally granted, sparse; // the charges of the regions with blocks, and of those without
    uint64_t written;                   // bytes of granted that were on the disk when its space was read
    struct store_left left;             // what the scan of the spill directory has left alone
    uint64_t n_lacking_blocks;          // regions of which some granted bytes had no blocks at start, and got none
    _Atomic uint64_t keep_free;         // bytes that are never granted; set by the loop, read by workers
    _Atomic uint64_t ample;             // bytes that may be granted without asking the disk: see op/space.c
    _Atomic uint64_t ample_until;       // until then (ms, monotonic)
};

// A spill directory that is not in use: one of the configuration that could not be opened, or one that the
// configuration has named once and that may still hold regions.
struct disk_absence {
    struct disk_absence *next;
    char *dir;
    char *problem;      // a sentence
    bool is_configured; // the configuration names it
    bool hangs;         // its disk does not answer
};

// A region that is to be made.
struct disk_wish {
    uid_t owner;
    const char *owner_name;
    uint64_t size;          // bytes
    uint64_t tried;         // a bit for each disk, by number, which has refused the region
    struct disk *favourite; // is chosen if it may have the region and has no problem; NULL: none is
};
// Where a new region is made: of the disks that may have it by their rules, the one with most free space.  Disks with a
// problem come last.  DISKS: the first one.  NULL: no disk may have it, or all that may have been tried.
struct disk *disk_choose(struct disk *disks, const struct disk_wish *wish);
// Whether the rules let the user of WISH have regions on D, one of DISKS, whatever their size.
bool disk_is_open_to(struct disk *disks, const struct disk *d, const struct disk_wish *wish);
// Bytes that could be granted on the disk, as far as is known: what is free, without keep_free and without what is
// granted and not yet written.
uint64_t disk_free(const struct disk *d);
// Bytes that a grow of one region could take now, as far as is known, whatever sparse regions have not written yet.
uint64_t disk_grantable(const struct disk *d);
// Whether one of DISKS before D is on the same file system.
bool disk_shares_file_system(const struct disk *disks, const struct disk *d);
// The bytes that are kept free of the file systems of all DISKS, each counted once.
uint64_t disks_keep_free(const struct disk *disks);
