// See pieces.h.
#include "client/preload/pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ITEMS = 32 };

void pieces_deinit(struct pieces *p)
{
    free(p->items);
    *p = (struct pieces){0};
}

int pieces_reserve(struct pieces *p, size_t n)
{
    size_t n_allocated = p->n_allocated ? p->n_allocated : FIRST_ITEMS;
    struct piece *items;

    if (p->n + n <= p->n_allocated)
        return 0;
    while (n_allocated < p->n + n)
        n_allocated *= 2;
    items = realloc(p->items, n_allocated * sizeof *items);
    if (!items)
        return -ENOMEM;
    p->items = items;
    p->n_allocated = n_allocated;
    return 0;
}

size_t pieces_find(const struct pieces *p, uintptr_t at)
{
    size_t low = 0, high = p->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (p->items[middle].at + p->items[middle].length > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

size_t pieces_find_block(const struct pieces *p, uintptr_t at)
{
    size_t i = pieces_find(p, at);

    return i < p->n && p->items[i].at == at && p->items[i].block == at ? i : p->n;
}

uint64_t pieces_block_length(const struct pieces *p, size_t i, size_t *ret_n)
{
    uintptr_t block = p->items[i].block;
    uint64_t length = 0;
    size_t n = 0;

    for (; i + n < p->n && p->items[i + n].block == block; n++)
        length += p->items[i + n].length;
    *ret_n = n;
    return length;
}

void pieces_insert(struct pieces *p, struct piece piece)
{
    size_t i = pieces_find(p, piece.at);

    memmove(p->items + i + 1, p->items + i, (p->n - i) * sizeof *p->items);
    p->items[i] = piece;
    p->n++;
}

void pieces_split(struct pieces *p, uintptr_t at)
{
    size_t i = pieces_find(p, at);
    struct piece rest;

    if (i == p->n || p->items[i].at >= at)
        return;
    rest = p->items[i];
    p->items[i].length = at - rest.at;
    rest.offset += at - rest.at;
    rest.length -= at - rest.at;
    rest.at = at;
    rest.reserve = 0;
    memmove(p->items + i + 2, p->items + i + 1, (p->n - i - 1) * sizeof *p->items);
    p->items[i + 1] = rest;
    p->n++;
}

void pieces_remove(struct pieces *p, size_t i, size_t n)
{
    memmove(p->items + i, p->items + i + n, (p->n - i - n) * sizeof *p->items);
    p->n -= n;
}
