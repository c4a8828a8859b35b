// See extents.h.
#include "client/preload/extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/checked.h"

enum { FIRST_ITEMS = 32 };

static uint64_t end_of(const struct extent *x)
{
    return x->offset + x->length;
}

static int make_room(struct extents *e, size_t n)
{
    size_t n_allocated = e->n_allocated ? e->n_allocated : FIRST_ITEMS;
    struct extent *items;

    if (n <= e->n_allocated)
        return 0;
    while (n_allocated < n)
        n_allocated *= 2;
    items = realloc(e->items, n_allocated * sizeof *items);
    if (!items)
        return -ENOMEM;
    e->items = items;
    e->n_allocated = n_allocated;
    return 0;
}

int extents_init(struct extents *e, uint64_t length)
{
    *e = (struct extents){0};
    if (length == 0)
        return 0;
    if (make_room(e, 1) < 0)
        return -ENOMEM;
    e->items[e->n++] = (struct extent){0, length, EXTENT_BLANK};
    e->bytes[EXTENT_BLANK] = length;
    return 0;
}

void extents_deinit(struct extents *e)
{
    free(e->items);
    *e = (struct extents){0};
}

size_t extents_at(const struct extents *e, uint64_t offset)
{
    size_t low = 0, high = e->n;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (e->items[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void count(struct extents *e, size_t first, size_t last, uint64_t from, uint64_t to)
{
    for (size_t i = first; i <= last; i++) {
        const struct extent *x = &e->items[i];

        e->bytes[x->state] -= u64_min(end_of(x), to) - u64_max(x->offset, from);
    }
}

int extents_set(struct extents *e, uint64_t offset, uint64_t length, enum extent_state state)
{
    uint64_t from = offset, to = offset + length, end;
    struct extent new[3], first, last;
    size_t i, j, n = 0;

    if (length == 0)
        return 0;
    if (make_room(e, e->n + 2) < 0)
        return -ENOMEM;
    i = extents_at(e, offset);
    j = extents_at(e, to - 1);
    first = e->items[i];
    last = e->items[j];
    end = end_of(&last);
    count(e, i, j, offset, to);
    e->bytes[state] += length;
    // On either side there is a rest of another state, or bytes of the same state, which become part of the extent.
    if (first.offset < offset && first.state != state)
        new[n++] = (struct extent){first.offset, offset - first.offset, first.state};
    else if (first.offset < offset)
        from = first.offset;
    else if (i > 0 && e->items[i - 1].state == state)
        from = e->items[--i].offset;
    if (end > to && last.state == state)
        to = end;
    else if (end == to && j + 1 < e->n && e->items[j + 1].state == state)
        to = end_of(&e->items[++j]);
    new[n++] = (struct extent){from, to - from, state};
    if (end > to)
        new[n++] = (struct extent){to, end - to, last.state};
    memmove(e->items + i + n, e->items + j + 1, (e->n - j - 1) * sizeof *e->items);
    memcpy(e->items + i, new, n * sizeof *new);
    e->n = e->n - (j - i + 1) + n;
    return 0;
}

bool extents_find(const struct extents *e, uint64_t length, uint64_t base, uint64_t align, unsigned states,
                  uint64_t *ret)
{
    uint64_t at = 0, skew = base & (align - 1);
    bool running = false;

    for (size_t i = 0; i < e->n; i++) {
        const struct extent *x = &e->items[i];

        if (!(states >> x->state & 1)) {
            running = false;
            continue;
        }
        if (!running) {
            if (!checked_align_up(x->offset + skew, align, &at))
                return false;
            at -= skew;
        }
        running = true;
        if (end_of(x) > at && end_of(x) - at >= length) {
            *ret = at;
            return true;
        }
    }
    return false;
}

bool extents_are(const struct extents *e, uint64_t offset, uint64_t length, unsigned states)
{
    uint64_t end;

    if (!checked_add(offset, length, &end) || e->n == 0 || end > end_of(&e->items[e->n - 1]))
        return false;
    for (size_t i = extents_at(e, offset); length > 0 && i < e->n && e->items[i].offset < end; i++)
        if (!(states >> e->items[i].state & 1))
            return false;
    return true;
}
