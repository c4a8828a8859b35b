// Making runs: each is copied to a buffer, sorted there by the pool's threads, and written.
//
// Meanwhile the other buffer is written and filled again.  The run in it, which is sorted, changes places with the next
// one, which is not, block by block: so each block's pages are read once, changed once and written once.  Thereby each
// run comes to lie two runs further on.  The first two runs leave their places empty, and the last two take them.
#include "client/order/beyond.h"

#include <string.h>

#include "client/order/pages.h"
#include "client/order/pool.h"
#include "proto/util/checked.h"

enum { AHEAD = 8, SWAPPED = 4096 }; // blocks that are announced before they are copied; bytes

struct runs {
    struct beyond *b;
    size_t n;         // runs
    size_t announced; // blocks before this one are
    char *sorted, *other;
};

static size_t first_of(const struct runs *r, size_t run)
{
    return run * r->b->run_blocks;
}

static size_t end_of(const struct runs *r, size_t run)
{
    return u64_min(first_of(r, run + 1), r->b->n_all);
}

static size_t elements_of(const struct runs *r, size_t run)
{
    size_t first = first_of(r, run) * r->b->block_n;

    return u64_min(first + r->b->run_blocks * r->b->block_n, r->b->job->n) - first;
}

// Block I is needed now.
static void announce(struct runs *r, size_t i)
{
    for (; r->announced < r->b->n_all && r->announced <= i + AHEAD; r->announced++)
        pages_announce(r->b->job->pages, beyond_place(r->b, r->announced), beyond_bytes(r->b, r->announced));
}

static void load(struct runs *r, size_t run, char *buffer)
{
    for (size_t i = first_of(r, run); i < end_of(r, run); i++, buffer += r->b->block_bytes) {
        announce(r, i);
        beyond_load(r->b, i, buffer);
    }
}

// To a place that is free; the shorter block to its own.
static void store_block(struct runs *r, size_t i, const char *buffer)
{
    size_t place = i < r->b->n_blocks ? beyond_take_free(r->b) : i;

    beyond_store(r->b, place, buffer);
    r->b->table[i] = place;
}

static void store(struct runs *r, size_t run, const char *buffer)
{
    for (size_t i = first_of(r, run); i < end_of(r, run); i++, buffer += r->b->block_bytes)
        store_block(r, i, buffer);
}

static void swap(char *a, char *b, size_t bytes)
{
    char kept[SWAPPED];

    for (size_t done = 0, n; done < bytes; done += n) {
        n = u64_min(bytes - done, SWAPPED);
        memcpy(kept, a + done, n);
        memcpy(a + done, b + done, n);
        memcpy(b + done, kept, n);
    }
}

// Block I, in BUFFER, changes places with the block at PLACE.
static void exchange_block(struct runs *r, size_t i, size_t place, char *buffer)
{
    char *at = beyond_place(r->b, place);

    announce(r, place);
    if (place == r->b->n_blocks) {
        store_block(r, i, buffer);
        beyond_load(r->b, place, buffer);
        return;
    }
    pages_need(r->b->job->pages, at, r->b->block_bytes);
    swap(at, buffer, r->b->block_bytes);
    pages_release(r->b->job->pages, at, r->b->block_bytes);
    r->b->table[i] = place;
}

// RUN, in BUFFER, changes places with the run NEXT, which may be shorter.
static void exchange(struct runs *r, size_t run, size_t next, char *buffer)
{
    size_t place = first_of(r, next), end = end_of(r, next);

    for (size_t i = first_of(r, run); i < end_of(r, run); i++, place++, buffer += r->b->block_bytes) {
        if (place < end)
            exchange_block(r, i, place, buffer);
        else
            store_block(r, i, buffer);
    }
}

static void begin_to_sort(struct runs *r, size_t run, char *buffer)
{
    pool_begin(r->b->job->pool, r->b->job->order, buffer, elements_of(r, run));
}

void beyond_make_runs(struct beyond *b)
{
    struct runs r = {.b = b, .n = (b->n_all + b->run_blocks - 1) / b->run_blocks};
    char *buffers[] = {b->buffers, b->buffers + b->run_blocks * b->block_bytes};

    load(&r, 0, buffers[0]);
    for (size_t run = 0; run < r.n; run++) {
        char *other = buffers[(run + 1) % 2];

        begin_to_sort(&r, run, buffers[run % 2]);
        if (run > 0 && run + 1 < r.n)
            exchange(&r, run - 1, run + 1, other);
        else if (run > 0)
            store(&r, run - 1, other);
        else if (r.n > 1)
            load(&r, 1, other);
        pool_wait(b->job->pool);
    }
    store(&r, r.n - 1, buffers[(r.n - 1) % 2]);
}
