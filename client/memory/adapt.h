// Reading that adapts itself to the program's use.  See the essay in adapt.c.  Sizes are bytes.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/memory/pattern.h"
#include "client/memory/residency.h"
#include "client/memory/split.h"
#include "client/memory/watch.h"
#include "proto/util/ranges.h"

struct mapping;

// In a region.
struct adapt {
    struct watch_entry watched;
    struct watch *watch;   // NULL: nothing adapts
    pthread_mutex_t *lock; // the region's
    struct mapping *mapping;
    struct residency residency; // see residency.h
    // The next five are of the client's thread.
    struct pattern *pattern; // NULL: the region was not looked at yet
    struct split split;
    unsigned first_run; // the part in which a run goes on
    bool blind;         // at the last look nobody told what is in memory
    uint32_t leftovers; // bit i: part i has single pages that are of no use any more
    // The rest is changed with the region's lock held; the atomic fields are read without.
    const struct ranges *discarded; // of the region
    struct ranges own;              // with advice of the program's
    bool own_everywhere;            // own is not complete
    bool keeps_file;                // counted in watch->n_files
    _Atomic uint64_t part_size;
    _Atomic uint64_t single_to[PATTERN_PARTS]; // the end of the single pages of each part; 0: all its pages are large
    _Atomic uint32_t skipped;                  // bit i: part i mostly has advice of the program's
    _Atomic uint32_t advised;                  // bit i: some of part i has
    // Written by any thread that announces reads:
    _Atomic uint32_t announced[PATTERN_PARTS]; // scattered reads since the last look, a sample of them
    _Atomic uint64_t last_announced;           // the last place
};

struct announce_places;

// WATCH: NULL where there is no client.
void adapt_init(struct adapt *a, struct watch *watch, pthread_mutex_t *lock, struct mapping *mapping);
void adapt_deinit(struct adapt *a);
void adapt_forked(struct adapt *a);

// The program has announced these reads, all of which lie in the region.  Any thread, without a lock.
void adapt_note_announced(struct adapt *a, const struct announce_places *places);

// The next six with the region's lock held.
// Whether a descriptor of the region's file is needed to tell how the region is read.
bool adapt_wants_file(const struct adapt *a);
// FILE stays open until adapt_deinit, if this returns true.  Otherwise it is of no use, or NULL, which means that it
// can't be had; then no other is wanted.
bool adapt_give_file(struct adapt *a, const struct descriptor *file);
// The region has SIZE bytes now, except for DISCARDED, which is read later too.
void adapt_note_size(struct adapt *a, uint64_t size, const struct ranges *discarded);
// Before the region shrinks to SIZE.
void adapt_cut(struct adapt *a, uint64_t size);
// The program has given ADVICE, of madvise(2), about these bytes.
void adapt_note_advice(struct adapt *a, uint64_t from, uint64_t to, int advice);
// All advice is gone, with the mapping that had it.
void adapt_forget(struct adapt *a);
