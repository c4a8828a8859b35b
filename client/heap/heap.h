// A heap of blocks inside one region.  This header is the folder's; each comment names the file of its functions.
//
// The region has what a later process needs (format.h): which spans there are, and which blocks of a slab are free.
// All else is rebuilt when the heap is opened, lies outside the region in memory that comes from mmap, and so can't
// be damaged by whoever writes to the region: for each unit a struct unit, lists of free spans by length, lists of
// slabs with free blocks, and what each thread keeps for itself (cache.h).  Nothing here calls malloc.
#pragma once
#include <diskalloc/heap.h>
#include <pthread.h>

#include "client/heap/classes.h"
#include "client/heap/format.h"
#include "client/region/region.h"
#include "client/util/fork.h"

enum { BIN_N = 168 };

// What a free span has of units that were given back.
enum bin_kind { BIN_GRANTED, BIN_MIXED, BIN_GIVEN_BACK, BIN_KIND_N };

enum {
    UNIT_GIVEN_BACK = 1, // discarded: not accessible
    UNIT_FRESH = 2,      // zero: granted and never used since
    UNIT_IN_DOUBT = 16,  // with UNIT_GIVEN_BACK: perhaps it was not, and is not zero
    UNIT_COUNTED = 4,    // of a slab's first unit: n is known
    UNIT_LISTED = 8,     // likewise: the slab is in a list of its class
};

// Of a span's first unit, unless something else is said.  Written under the heap's lock; read without it by a thread
// that has a block in the span.
struct unit {
    uint32_t head;       // of each unit of a slab, and of the last unit of a free span: the first one
    uint32_t n;          // units; of a slab: the blocks that are free
    uint32_t next, prev; // in a list; 0: none
    uint32_t given_back; // of a free span: units of it
    uint8_t kind;        // enum span_kind; of each unit of a slab, and of a free span
    uint8_t size_class;  // of each unit of a slab
    uint8_t flags;       // UNIT_GIVEN_BACK and UNIT_FRESH: of each unit
};

// Slabs of one size class.  With the heap's lock.
struct class_state {
    uint32_t usable;    // slabs that have free blocks
    uint32_t uncounted; // slabs that an earlier process left
    uint32_t spare;     // a slab without used blocks that is kept; 0: none
};

struct size_class {
    uint32_t size, reciprocal;
};

struct cache;

struct diskalloc_heap {
    // Constant while threads use the heap.
    uint64_t id; // of this heap in this process; in a forked child another one, which no thread's cache has
    char *base;
    struct unit *units;
    struct size_class classes[CLASS_N];
    _Atomic uint32_t extent; // units; written with the lock
    struct diskalloc_region *region;
    struct heap_header *header;
    uint32_t units_max; // of address space for `units`
    bool inherited;     // came through fork
    bool read_only;
    bool beside_reader; // a reader holds the lock that says that a heap is open
    uint64_t claimed;   // the word of the header that says so instead; 0: none
    bool shared;        // others can find the region: it is locked, and what is free is given back at the end
    struct fork_hook fork;

    // A thread that changes what the region grants holds `space`, then `lock` except while it waits for the region.
    _Alignas(64) pthread_mutex_t space;
    _Alignas(64) pthread_mutex_t lock; // of all below
    struct class_state class_states[CLASS_N];
    struct heap_segment **segments; // n_segments of them are set
    uint32_t n_segments, segments_max;
    uint64_t root;         // an offset, checked; 0: none
    uint32_t units_ready;  // of `units`, that are accessible
    uint32_t free_granted; // units
    uint32_t used;         // units
    uint32_t taken_again;  // units that were given back and needed again, less as time goes on
    uint32_t not_below;    // units: while less are free nothing is given back, as that failed before
    uint32_t bins[BIN_KIND_N][BIN_N];
    uint64_t bins_used[BIN_KIND_N][(BIN_N + 63) / 64];

    struct cache *caches; // of threads; guarded by the fork lock
    unsigned n_leaving;   // threads that end and are about to use the heap; likewise
};

// malloc.c: diskalloc_heap_malloc for another function of the heap, CALL, whose error a failure is.
void *heap_malloc_as(struct diskalloc_heap *h, size_t size, const char *call);

// space.c: what the region grants.
// With the lock, which is released meanwhile: takes N units, aligned to ALIGN bytes.  0 or -errno.
int space_take(struct diskalloc_heap *h, uint32_t n, uint64_t align, struct span as, uint32_t *ret);
// Likewise: gives a large block MORE units behind it.  -EAGAIN: they are not free.
int space_join(struct diskalloc_heap *h, uint32_t large, uint32_t more);
// With the lock: whether so much is free that some should be given back.
bool space_is_plenty(const struct diskalloc_heap *h);
// Without the lock.  Gives free spans back, if there are many.  Says nothing if that can't be done.
void space_trim(struct diskalloc_heap *h);
// The same at the end of the heap: gives back what there is.
void space_trim_all(struct diskalloc_heap *h);
// With `space` only: grows the region to END units at least, and the heap to what the region has.  0 or -errno.
int space_grow(struct diskalloc_heap *h, uint32_t end);
// Without a lock of the heap: makes the region's bytes from FROM to NEEDED accessible.  *RET_END: how far they are.
// 0 or -errno.
int space_grant(struct diskalloc_region *r, uint64_t from, uint64_t needed, uint64_t *ret_end);
// True on a thread that waits for a region of some heap: what is allocated meanwhile must not.
bool space_is_busy(void);

// slabs.c: blocks of slabs.  All with the lock, which slabs_get may release meanwhile.
// Takes up to N blocks of class C, and returns how many; 0: *RET_ERROR says why.
unsigned slabs_get(struct diskalloc_heap *h, unsigned c, void **blocks, unsigned n, int *ret_error);
// True: it was a used block until now.  False: nothing has changed.
bool slabs_put(struct diskalloc_heap *h, void *block);
// A slab that is there when the heap is opened.
void slab_adopt(struct diskalloc_heap *h, uint32_t slab, unsigned c);
// The heap ends: empty slabs are not kept any more.
void slabs_drop_spares(struct diskalloc_heap *h);
bool slabs_is_used(const struct diskalloc_heap *h, const void *block);

// in_use.c: whether the heap is open elsewhere.
// Locks the heap.  0; -EBUSY: another process has it open, or this one; -errno.
int in_use_lock(struct diskalloc_heap *h);
// After that, when the header is accessible, and before the heap is read or made: if there was no more than a reader's
// lock, sees to it that no other process has the heap.  0; -EBUSY.
int in_use_claim(struct diskalloc_heap *h);
// Takes back what the two have done.
void in_use_end(struct diskalloc_heap *h);

// check.c.  All 0; or -EINVAL: the heap is damaged, and the reason says how.
// The header, of a region of at least one unit.
int check_header(const struct diskalloc_heap *h);
// The root, which lies within the heap: whether the region grants its unit.
int check_root_is_granted(const struct diskalloc_heap *h);
// Fills `units` and the lists from the region.  Also -ENOMEM.
int check_read(struct diskalloc_heap *h);
