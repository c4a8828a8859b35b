// Merging runs in place.
//
// Of each run one block is copied to a buffer.  Thereby its place is free, and takes a block of merged elements when
// one is full.  There is always a free place: what was merged was copied before, so at least as many whole blocks were
// copied as are full.  Taken is the place that became free last.  So the blocks of a merged run lie anywhere, and the
// table says where.
//
// Which block is needed next?  That of the run whose buffer ends with the least element (forecasting; Knuth, The Art of
// Computer Programming 3, 5.4.6).  So only the next few blocks are announced.
//
// The last block of all, which may be shorter, is the last one of the last run in every merge, and its place takes the
// last elements, of which there are then as many.
#include "client/order/beyond.h"

#include <diskalloc/order.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/order/pages.h"
#include "proto/util/checked.h"

enum { AHEAD = 6 }; // blocks that are announced before they are copied

struct merging {
    struct beyond *b;
    struct diskalloc_order_merge tree;
    size_t n_announced;
};

static bool can_announce(const struct beyond_run *run)
{
    return !run->announced && run->next < run->end;
}

// The run that will need its next block first; SIZE_MAX: all that have one are announced.
static size_t forecast(const struct merging *m)
{
    const struct diskalloc_order *order = m->b->job->order;
    size_t first = SIZE_MAX;

    for (size_t i = 0; i < m->tree.n_inputs; i++)
        if (can_announce(&m->b->runs[i]) &&
            (first == SIZE_MAX ||
             order->less(m->tree.inputs[i].end - order->element_size, m->tree.inputs[first].end - order->element_size)))
            first = i;
    return first;
}

static void announce(struct merging *m, struct beyond_run *run)
{
    size_t place = m->b->table[run->next];

    run->announced = true;
    m->n_announced++;
    pages_announce(m->b->job->pages, beyond_place(m->b, place), beyond_bytes(m->b, place));
}

static void announce_more(struct merging *m)
{
    while (m->n_announced < AHEAD) {
        size_t i = forecast(m);

        if (i == SIZE_MAX)
            return;
        announce(m, &m->b->runs[i]);
    }
}

// Copies the next block of a run that has one.
static void load(struct merging *m, size_t i)
{
    struct beyond_run *run = &m->b->runs[i];
    size_t place = m->b->table[run->next++];

    m->n_announced -= run->announced;
    run->announced = false;
    beyond_load(m->b, place, run->buffer);
    m->tree.inputs[i] = (struct diskalloc_order_input){run->buffer, run->buffer + beyond_bytes(m->b, place)};
}

// The blocks of the group's runs are those of the table from FIRST to END.
static void begin(struct merging *m, size_t first, size_t end, size_t run_blocks)
{
    struct beyond *b = m->b;
    size_t n = 0;

    for (size_t i = first; i < end; i += run_blocks, n++)
        b->runs[n] = (struct beyond_run){i, u64_min(i + run_blocks, end), b->buffers + (n + 1) * b->block_bytes, false};
    m->tree = (struct diskalloc_order_merge){.inputs = b->inputs, .nodes = b->nodes, .n_inputs = (uint32_t)n};
    for (size_t i = 0; i < n && i < AHEAD; i++)
        announce(m, &b->runs[i]);
    for (size_t i = 0; i < n; i++) {
        load(m, i);
        if (i + AHEAD < n)
            announce(m, &b->runs[i + AHEAD]);
    }
    announce_more(m);
}

// The run at the root has come to the end of its buffer.
static void go_on(struct merging *m)
{
    size_t i = m->tree.nodes[0], last = m->tree.n_inputs - 1;

    if (m->b->runs[i].next < m->b->runs[i].end) {
        load(m, i);
        announce_more(m);
        return;
    }
    m->b->runs[i] = m->b->runs[last];
    m->tree.inputs[i] = m->tree.inputs[last];
    m->tree.n_inputs--;
    m->tree.is_played = 0;
}

static bool is_empty(const struct diskalloc_order_input *input)
{
    return input->at == input->end;
}

// Merges BYTES into the first buffer.
static void fill(struct merging *m, size_t bytes)
{
    m->tree.out = m->b->buffers;
    m->tree.out_end = m->b->buffers + bytes;
    while (m->tree.out < m->tree.out_end) {
        m->b->job->order->merge(&m->tree);
        if (is_empty(&m->tree.inputs[m->tree.nodes[0]]))
            go_on(m);
    }
}

static void merge_group(struct merging *m, size_t first, size_t end, size_t run_blocks)
{
    begin(m, first, end, run_blocks);
    for (size_t i = first; i < end; i++) {
        bool whole = i < m->b->n_blocks;
        size_t place;

        fill(m, beyond_bytes(m->b, i));
        place = whole ? beyond_take_free(m->b) : i;
        beyond_store(m->b, place, m->b->buffers);
        m->b->merged_table[i] = place;
    }
}

// The groups are merged one after the other: each run of the result is one group of this time.
static void merge_once(struct merging *m, size_t run_blocks, size_t group_blocks)
{
    struct beyond *b = m->b;
    size_t *merged = b->merged_table;

    for (size_t i = 0; i < b->n_all; i += group_blocks)
        merge_group(m, i, u64_min(i + group_blocks, b->n_all), run_blocks);
    b->merged_table = b->table;
    b->table = merged;
}

void beyond_merge(struct beyond *b)
{
    struct merging m = {.b = b};
    uint64_t group;

    for (uint64_t run_blocks = b->run_blocks; run_blocks < b->n_all; run_blocks = group) {
        if (!checked_mul(run_blocks, b->fan_in, &group))
            group = b->n_all;
        group = u64_min(group, b->n_all);
        merge_once(&m, run_blocks, group);
    }
}
