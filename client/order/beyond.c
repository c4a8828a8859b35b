// Sorting more than fits into memory: sizes, buffers, and moving single blocks.
//
// First runs are made: pieces as large as a buffer are sorted (client/order/runs.c).  Then the runs are merged
// (merge.c), all at once if there are buffers for it, and in the end the blocks are moved to their places (blocks.c).
// Each of the three reads and writes every block once, in pieces of 2 MiB that are announced before (pages.c).
// Measured, that is as fast as the disk is; what matters is to write no page twice, and for that to change none twice:
// pages that a sort keeps changing are written again and again by the kernel while it looks for memory.
//
// All is done in place.  With a second file of the same size one writing less would do.  But that file would have to
// be made, charged and granted, any of which can be refused, and an error in reading it would lose elements that the
// vector does not have any more.  Here all buffers are there before the first element moves, and nothing can fail
// afterwards.
#include "client/order/beyond.h"

#include <assert.h>
#include <diskalloc/order.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/order/pages.h"
#include "proto/util/checked.h"

// Of the memory, a quarter for each of the two runs' buffers, which are the buffers of the merge later; the other half
// is for pages that were announced, or are on their way to the disk.
enum { SHARE = 4, BLOCKS_MIN = 2, ALIGNED_MIN = 8 };

// A large page: after a miss the kernel reads as much, so smaller blocks would be read several times.
#define BLOCK ((uint64_t)2 << 20)
#define ALIGNED_MAX (32 * BLOCK)

// A block of whole elements; of whole large pages too, if that is not too much: then moving a block touches no others'.
static uint64_t block_bytes(uint64_t element_size, uint64_t share)
{
    uint64_t even = element_size & -element_size, bytes;

    if (element_size <= BLOCK && checked_mul(BLOCK, element_size / even, &bytes) &&
        bytes <= u64_min(share / ALIGNED_MIN, ALIGNED_MAX))
        return bytes;
    bytes = u64_min(BLOCK, share / BLOCKS_MIN) / element_size;
    return u64_max(bytes, 1) * element_size;
}

static void plan(struct beyond *b)
{
    uint64_t size = b->job->order->element_size, share = b->job->memory / SHARE;

    b->block_bytes = block_bytes(size, share);
    b->block_n = b->block_bytes / size;
    b->n_blocks = b->job->n / b->block_n;
    b->tail_bytes = b->job->n % b->block_n * size;
    b->n_all = b->n_blocks + (b->tail_bytes > 0);
    b->run_blocks = u64_min(u64_max(share / b->block_bytes, BLOCKS_MIN), b->n_all);
    b->fan_in = 2 * b->run_blocks - 1;
}

int beyond_init(struct beyond *b, const struct sort_job *job)
{
    *b = (struct beyond){.job = job};
    plan(b);
    b->table = calloc(b->n_all, sizeof(*b->table));
    b->merged_table = calloc(b->n_all, sizeof(*b->merged_table));
    b->free = calloc(b->n_all, sizeof(*b->free));
    b->buffers = calloc(2 * b->run_blocks, b->block_bytes);
    b->runs = calloc(b->fan_in, sizeof(*b->runs));
    b->inputs = calloc(b->fan_in, sizeof(*b->inputs));
    b->nodes = calloc(2 * b->fan_in, sizeof(*b->nodes));
    if (b->table && b->merged_table && b->free && b->buffers && b->runs && b->inputs && b->nodes)
        return 0;
    beyond_deinit(b);
    return -ENOMEM;
}

void beyond_deinit(struct beyond *b)
{
    free(b->table);
    free(b->merged_table);
    free(b->free);
    free(b->buffers);
    free(b->runs);
    free(b->inputs);
    free(b->nodes);
    *b = (struct beyond){0};
}

size_t beyond_take_free(struct beyond *b)
{
    assert(b->n_free > 0);
    return b->free[--b->n_free];
}

void beyond_load(struct beyond *b, size_t place, char *buffer)
{
    pages_need(b->job->pages, beyond_place(b, place), beyond_bytes(b, place));
    memcpy(buffer, beyond_place(b, place), beyond_bytes(b, place));
    if (place < b->n_blocks)
        b->free[b->n_free++] = place;
}

void beyond_store(const struct beyond *b, size_t place, const char *buffer)
{
    pages_need(b->job->pages, beyond_place(b, place), beyond_bytes(b, place));
    memcpy(beyond_place(b, place), buffer, beyond_bytes(b, place));
    pages_release(b->job->pages, beyond_place(b, place), beyond_bytes(b, place));
}
