// Which pages of a region are in memory.  See the essay in residency.c.  Offsets are bytes.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/util/descriptor.h"

struct mapping;

struct residency {
    const struct mapping *mapping;
    struct descriptor file; // the backing's; valid if has_file
    _Atomic bool has_file;  // set after file is written; cleared by the client's thread, when the program has closed it
    _Atomic bool refused;   // no descriptor of this region is of use
    // Of the client's thread:
    bool by_file; // in these looks
    bool counts;  // pages were found by the descriptor
};

void residency_init(struct residency *r, const struct mapping *m);
// Whether a descriptor of the file is missing.  Called with the region's lock held, like the next one.
bool residency_needs_file(const struct residency *r);
// The library keeps FILE open as long as R is used, if this returns true.  Otherwise FILE is of no use, or NULL, which
// means that it can't be had; then no other is needed.
bool residency_give_file(struct residency *r, const struct descriptor *file);

// On the client's thread.  Begins some looks; false: nobody tells now which pages are in memory.
bool residency_begin(struct residency *r);
// In these looks: which of the N pages from AT on are in memory, as bits; N is 16 at most.
uint16_t residency_window(const struct residency *r, uint64_t at, unsigned n);
// Takes pages out of memory, as far as the kernel lets this process do that to the file.  Nothing is lost.
void residency_drop(const struct residency *r, uint64_t from, uint64_t to);
