// A heap as it lies in its region.  All of it is found by offsets; nothing in it is an address that is followed.
//
// The region is divided into units of 16 KiB.  Unit 0 has the header.  A span is a run of units: free, a slab (blocks
// of one size class), a large block, or notes of the heap itself.  The notes are segments: a segment has, for 1,024
// units, an entry of 8 bytes each and the bits of their slabs.  The entry of a span's first unit says what the span
// is; the other entries of a span are not read.  So the entries are a chain from unit 0 to the end of the heap.
//
// A program can be killed between any two stores.  Each change of the chain is one store of 8 bytes, after stores to
// entries that are not read yet; the end of the heap is one word; a bit is set before its block is handed out.  So
// the chain is whole at every moment, and what a killed program loses are blocks that threads kept in reserve.
//
// Words carry a check, so that a change by accident is noticed.  Against malice the checks of check.c help: whatever
// the words say, nothing outside the heap is read or written.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/heap/classes.h"
#include "client/memory/home.h"

#define HEAP_UNITS_MAX ((uint64_t)1 << 31)

enum {
    HEAP_VERSION = 1,
    SEGMENT_UNITS = 1024, // units that a segment describes
    BITS_WORDS = 16,      // words of bits for each unit: one bit for 16 bytes
    SEGMENT_SPAN = 9,     // units that a segment takes
    HEAP_FIRST_UNITS = 1 + SEGMENT_SPAN,
};

enum span_kind {
    SPAN_NONE, // beyond the heap, or inside a span
    SPAN_FREE,
    SPAN_SLAB,
    SPAN_LARGE,
    SPAN_NOTES,
    SPAN_KIND_N,
    SPAN_BUSY = SPAN_KIND_N, // in memory only: a free span that is being given back or restored
};

struct heap_header {
    struct home_header first;
    _Atomic uint64_t extent; // sealed: units (32 bits) and segments (22 bits)
    _Atomic uint64_t root;   // sealed: the offset of a block, 0: none
    _Atomic uint64_t in_use; // by which process (in_use.c); 0: none, or its lock says so
};

struct heap_segment {
    _Atomic uint64_t next; // sealed: the unit of the segment after this one; not read in the last segment
    uint64_t unused[7];
    _Atomic uint64_t entries[SEGMENT_UNITS];
    // A slab has its bits from those of its first unit on, also where it goes on in the next segment's units.
    _Atomic uint64_t bits[(SEGMENT_UNITS + SLAB_UNITS_MAX - 1) * BITS_WORDS];
};

_Static_assert(sizeof(struct heap_segment) <= SEGMENT_SPAN * UNIT, "a segment fits its units");

enum seal {
    SEAL_ENTRY = 41, // bits of the value; the rest of the word is the check
    SEAL_EXTENT = 54,
    SEAL_ROOT = 47,
    SEAL_NEXT = 32,
};

// PLACE: where the word lies, so that a word that was copied to another place does not pass.
uint64_t seal(uint64_t value, enum seal bits, uint64_t place);
// False: the word was not made by seal for this place.
bool unseal(uint64_t word, enum seal bits, uint64_t place, uint64_t *ret);

struct span {
    enum span_kind kind;
    unsigned size_class; // of a slab
    uint32_t n;          // units
};

uint64_t span_encode(struct span s, uint32_t unit);
// False: no span of a heap of END units can be at UNIT and look like this.
bool span_decode(uint64_t word, uint32_t unit, uint32_t end, struct span *ret);
