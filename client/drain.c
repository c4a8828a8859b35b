// Vectors that are consumed from their front: name_discard_front.
//
// What was consumed is discarded as the program could do it itself (client/region/discard.c): whole blocks, and their
// charge, while indices and addresses stay.  The vector remembers how many elements are gone; a vector that is opened
// later finds it out by the discarded part that its region begins with.
//
// Giving back a part that ends within 2 MiB of memory has the file system write these 2 MiB to the disk first
// (proto/spill/spillfile.c), whereas whole 2 MiB are dropped unwritten.  So a program that consumes a little at a time
// would write everything to the disk that it is about to drop.  Calls that consume little, one soon after the other,
// are therefore collected until 2 MiB are complete.
#include <errno.h>

#include "client/region/region.h"
#include "client/util/error.h"
#include "client/vec.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/page.h"

#define PIECE ((uint64_t)2 << 20)      // bytes that are given back at once
#define LAST_STEP ((uint64_t)64 << 10) // bytes: a call that consumes so many, and all that is left

enum { REST_MS = 20 }; // after that, calls do not come one soon after the other

// The discarded part that R begins with.
static uint64_t discarded_front(struct diskalloc_region *r)
{
    const struct ranges *discarded = &r->backing->discarded;
    uint64_t length = 0;

    pthread_mutex_lock(&r->lock);
    if (discarded->n > 0 && discarded->items[0].offset == 0)
        length = discarded->items[0].length;
    pthread_mutex_unlock(&r->lock);
    return length;
}

size_t diskalloc_vec_front(struct diskalloc_region *r, size_t len, size_t element_size)
{
    uint64_t gone, n;

    if (!r || element_size == 0)
        return 0;
    gone = discarded_front(r);
    n = gone / element_size + (gone % element_size > 0);
    return n < len ? (size_t)n : len;
}

// Whether a call that finds the first BYTES consumed gives back what is no whole piece, too.
static bool is_exact(const struct diskalloc_region *r, uint64_t bytes, bool all)
{
    uint64_t step = bytes > r->drain_asked ? bytes - r->drain_asked : bytes;

    return step >= PIECE || (all && step >= LAST_STEP) || r->drained_at == 0 || clock_now() - r->drained_at >= REST_MS;
}

// The first BYTES are consumed; ALL: and there are no others.
static int drain(struct diskalloc_region *r, uint64_t bytes, bool all)
{
    uint64_t from, end = align_down(bytes, u64_max(DISCARD_BLOCK, page_size()));
    int e = 0;

    if (region_is_small(r)) // no blocks, and no charge
        return 0;
    from = discarded_front(r);

    if (end > from && !is_exact(r, bytes, all))
        end = align_down(end, PIECE);
    if (end > from)
        e = region_discard_behind(r, from, end - from);
    if (e < 0)
        return e;
    r->drained = true;
    r->drain_asked = bytes;
    if (end > from)
        r->drained_at = clock_now();
    return 0;
}

int diskalloc_vec_discard_front(struct diskalloc_region *r, size_t len, size_t cap, size_t n, size_t element_size,
                                const char *call)
{
    int e;

    error_begin(call);
    e = vec_check(r, len, cap, element_size);
    if (e == 0 && n > len)
        e = error_why(-EINVAL, "%zu elements of a vector of %zu", n, len);
    if (e == 0)
        e = drain(r, (uint64_t)n * element_size, n == len);
    return error_end(e);
}

int diskalloc_vec_drained(const char *call)
{
    error_begin(call);
    return error_end(error_why(-EINVAL, "a part of the vector's elements was consumed (discard_front)"));
}
