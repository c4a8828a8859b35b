// Shared by the files that sort more than fits into memory: beyond.c, runs.c, merge.c, blocks.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/order/job.h"

struct diskalloc_order_input;

// A run that is being merged.
struct beyond_run {
    size_t next, end; // of the table: the blocks that are still to be copied
    char *buffer;
    bool announced; // the next one is
};

// The elements are cut into blocks.  A block of elements can lie at the place of any other one, so a run is a row of
// blocks in the table.  The last block of all may be shorter, and stays in its place.
struct beyond {
    const struct sort_job *job;
    size_t block_n;    // elements
    size_t run_blocks; // blocks of a run; the last run may have fewer
    size_t fan_in;     // runs that are merged at once
    size_t block_bytes, tail_bytes;
    size_t n_blocks, n_all; // whole blocks; and the one that is shorter, if there is one
    size_t *table;          // [n_all]: the place of each block, run by run
    size_t *merged_table;   // [n_all]: the same, while runs are merged
    size_t *free, n_free;   // [n_all]: places whose blocks are in buffers
    char *buffers;          // two runs, or fan_in + 1 blocks
    // For the runs that are merged, fan_in each, twice as many nodes:
    struct beyond_run *runs;
    struct diskalloc_order_input *inputs;
    uint32_t *nodes;
};

// 0; or -ENOMEM.  JOB must outlive B.
int beyond_init(struct beyond *b, const struct sort_job *job);
void beyond_deinit(struct beyond *b);

// Sorts each run and makes the table (runs.c); merges the runs until one is left (merge.c); moves the blocks to their
// places (blocks.c).
void beyond_make_runs(struct beyond *b);
void beyond_merge(struct beyond *b);
void beyond_arrange(struct beyond *b);

static inline char *beyond_place(const struct beyond *b, size_t place)
{
    return (char *)b->job->at + place * b->block_bytes;
}

static inline size_t beyond_bytes(const struct beyond *b, size_t place)
{
    return place < b->n_blocks ? b->block_bytes : b->tail_bytes;
}

// The place that became free last, whose pages are likely to be in memory still.
size_t beyond_take_free(struct beyond *b);
// Copies the block that is at PLACE to a buffer; the place is free then, unless it is that of the shorter block.
void beyond_load(struct beyond *b, size_t place, char *buffer);
// Copies a block from a buffer to PLACE.
void beyond_store(const struct beyond *b, size_t place, const char *buffer);
