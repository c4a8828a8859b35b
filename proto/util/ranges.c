// Sets of byte ranges, as a sorted array: see ranges.h.
#include "proto/util/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t end_of(const struct range *x)
{
    return x->offset + x->length;
}

void ranges_deinit(struct ranges *r)
{
    free(r->items);
    *r = (struct ranges){0};
}

int ranges_copy(const struct ranges *from, struct ranges *ret)
{
    *ret = (struct ranges){0};
    if (from->n == 0)
        return 0;
    ret->items = malloc(from->n * sizeof *ret->items);
    if (!ret->items)
        return -ENOMEM;
    memcpy(ret->items, from->items, from->n * sizeof *ret->items);
    ret->n = ret->n_allocated = from->n;
    ret->sum = from->sum;
    return 0;
}

size_t ranges_find(const struct ranges *r, uint64_t offset)
{
    size_t low = 0, high = r->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (end_of(&r->items[middle]) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// Makes room for one more range.  0, -EMFILE or -ENOMEM.
static int make_room(struct ranges *r)
{
    size_t n = r->n_allocated ? r->n_allocated * 2 : 4;
    struct range *items;

    if (r->n < r->n_allocated)
        return 0;
    if (r->n >= RANGES_MAX)
        return -EMFILE;
    items = realloc(r->items, n * sizeof *items);
    if (!items)
        return -ENOMEM;
    r->items = items;
    r->n_allocated = n;
    return 0;
}

// Puts the N_WITH ranges of WITH in the place of the N ranges at index AT.  The caller has made room.
static void replace(struct ranges *r, size_t at, size_t n, const struct range *with, size_t n_with)
{
    for (size_t i = at; i < at + n; i++)
        r->sum -= r->items[i].length;
    if (r->n > at + n)
        memmove(&r->items[at + n_with], &r->items[at + n], (r->n - at - n) * sizeof *r->items);
    if (n_with > 0)
        memcpy(&r->items[at], with, n_with * sizeof *with);
    for (size_t i = 0; i < n_with; i++)
        r->sum += with[i].length;
    r->n = r->n - n + n_with;
}

int ranges_add(struct ranges *r, uint64_t offset, uint64_t length)
{
    struct range whole = {offset, length};
    // A range that ends where the new one begins is merged with it, so the search begins one byte earlier.
    size_t at = ranges_find(r, offset ? offset - 1 : 0), n = 0;

    if (length == 0)
        return 0;
    for (; at + n < r->n && r->items[at + n].offset <= offset + length; n++) {
        const struct range *x = &r->items[at + n];
        uint64_t end = end_of(x) > end_of(&whole) ? end_of(x) : end_of(&whole);

        whole.offset = x->offset < whole.offset ? x->offset : whole.offset;
        whole.length = end - whole.offset;
    }
    if (n == 0) {
        int result = r->n >= RANGES_MAX ? -EMFILE : make_room(r);

        if (result < 0)
            return result;
    }
    replace(r, at, n, &whole, 1);
    return 0;
}

int ranges_remove(struct ranges *r, uint64_t offset, uint64_t length)
{
    size_t at = ranges_find(r, offset), n = 0, n_rest = 0;
    uint64_t end = offset + length;
    struct range rest[2];

    for (; at + n < r->n && r->items[at + n].offset < end; n++) {
        const struct range *x = &r->items[at + n];

        if (x->offset < offset)
            rest[n_rest++] = (struct range){x->offset, offset - x->offset};
        if (end_of(x) > end)
            rest[n_rest++] = (struct range){end, end_of(x) - end};
    }
    if (n == 0 || length == 0)
        return 0;
    if (n_rest > n) {
        int result = r->n >= RANGES_MAX ? -EMFILE : make_room(r);

        if (result < 0)
            return result;
    }
    replace(r, at, n, rest, n_rest);
    return 0;
}

void ranges_cut(struct ranges *r, uint64_t size)
{
    size_t at = ranges_find(r, size);

    // A range that spans SIZE keeps its beginning.
    if (at < r->n && r->items[at].offset < size) {
        r->sum -= end_of(&r->items[at]) - size;
        r->items[at].length = size - r->items[at].offset;
        at++;
    }
    replace(r, at, r->n - at, NULL, 0);
}

uint64_t ranges_overlap(const struct ranges *r, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, sum = 0;

    for (size_t i = ranges_find(r, offset); i < r->n && r->items[i].offset < end; i++) {
        const struct range *x = &r->items[i];
        uint64_t from = x->offset > offset ? x->offset : offset, to = end_of(x) < end ? end_of(x) : end;

        sum += to - from;
    }
    return sum;
}
