// A disk: one spill directory of the daemon with its file system, its fences, and what the daemon knows of them.
//
// Each region is on one disk (region.disk).  The loop owns the fields; workers read those that are atomic, and use the
// store and the fences.  A disk lives as long as the daemon.
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "daemon/store/store.h"

struct fence;
struct projects;

struct disk {
    struct disk *next; // in the order of the configuration; NULL: this is the last one
    struct store *store;
    struct fence *fence;       // NULL, in tests: descriptors are plain
    struct projects *projects; // NULL: the fence of project quotas does not hold
    const char *problem;       // why nothing new is granted; NULL: all is well
    uint64_t full_told;        // when a refusal by the disk was logged last (ms, monotonic); 0: never
    struct store_space space;  // renewed from time to time (daemon/health.c), as is health
    struct store_health health;
    uint64_t n_foreign;           // entries of the spill directory that are not the daemon's
    uint64_t n_lacking_blocks;    // regions of which some granted bytes had no blocks at start, and got none
    _Atomic uint64_t keep_free;   // bytes that are never granted; set by the loop, read by workers
    _Atomic uint64_t ample;       // bytes that may be granted without asking the disk; set by op/space.c only
    _Atomic uint64_t ample_until; // until then (ms, monotonic)
};
