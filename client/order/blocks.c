// Moving blocks to their places, along the cycles of their permutation: one block of a cycle is set aside, then each
// place takes its block, whose own place is free thereby.  Each block is read once and written once.
#include "client/order/beyond.h"

#include <string.h>

#include "client/order/pages.h"

enum { AHEAD = 8 }; // blocks that are announced before they are moved

struct cycle {
    struct beyond *b;
    size_t start;     // the place whose block is set aside
    size_t announced; // of the blocks, the last one; start again: all are
};

static void announce_next(struct cycle *c, bool first)
{
    if (c->announced == c->start && !first)
        return;
    c->announced = c->b->table[c->announced];
    if (c->announced != c->start)
        pages_announce(c->b->job->pages, beyond_place(c->b, c->announced), c->b->block_bytes);
}

static void move_cycle(struct beyond *b, size_t start)
{
    struct cycle c = {b, start, start};
    size_t i = start;

    for (int k = 0; k < AHEAD; k++)
        announce_next(&c, k == 0);
    pages_need(b->job->pages, beyond_place(b, start), b->block_bytes);
    memcpy(b->buffers, beyond_place(b, start), b->block_bytes);
    while (b->table[i] != start) {
        size_t from = b->table[i];

        announce_next(&c, false);
        pages_need(b->job->pages, beyond_place(b, from), b->block_bytes);
        beyond_store(b, i, beyond_place(b, from));
        b->table[i] = i;
        i = from;
    }
    beyond_store(b, i, b->buffers);
    b->table[i] = i;
}

void beyond_arrange(struct beyond *b)
{
    for (size_t i = 0; i < b->n_blocks; i++)
        if (b->table[i] != i)
            move_cycle(b, i);
}
