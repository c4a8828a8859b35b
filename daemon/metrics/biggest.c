// The biggest regions.
//
// There may be 100,000 regions, and to look at all of them at once would hold the loop up for some ten milliseconds.
// So a pass looks at LOOKS regions at a time (half a millisecond), and the list is that of the last whole pass, with
// the present sizes.  As long as nobody has looked at the page for a while, nothing is done.
#include "daemon/metrics/biggest.h"

#include <string.h>

#include "daemon/region.h"

enum {
    LOOKS = 5000,
    WANTED_MS = 60 * 1000,
};

static void offer(struct biggest_list *l, const struct region *r)
{
    const uint64_t bytes = r->charge.amount[QUOTA_BYTES];
    size_t i;

    if (bytes == 0 || (l->n == BIGGEST_MOST && bytes <= l->items[l->n - 1].bytes))
        return;
    if (l->n < BIGGEST_MOST)
        l->n++;
    for (i = l->n - 1; i > 0 && bytes > l->items[i - 1].bytes; i--)
        l->items[i] = l->items[i - 1];
    l->items[i].handle = r->record.handle;
    l->items[i].bytes = bytes;
}

static void look(struct biggest *b, struct region_table *t)
{
    struct region *r = region_next(t, b->has_cursor ? &b->cursor : NULL);

    if (!b->has_cursor)
        b->now.n = 0;
    for (unsigned n = 0; r && n < LOOKS; n++) {
        offer(&b->now, r);
        b->cursor = r->record.handle;
        b->has_cursor = true;
        r = region_next(t, &b->cursor);
    }
    if (r)
        return;
    b->found = b->now;
    b->is_whole = true;
    b->has_cursor = false;
}

void biggest_want(struct biggest *b, struct region_table *t, uint64_t now)
{
    bool was_wanted = now < b->wanted_until;

    b->wanted_until = now + WANTED_MS;
    // Few regions are looked at anew for each page; of many, the passes go on with the ticks.
    if (!was_wanted || t->n_regions <= LOOKS) {
        b->has_cursor = false;
        look(b, t);
    }
}

void biggest_tick(struct biggest *b, struct region_table *t, uint64_t now)
{
    if (now < b->wanted_until)
        look(b, t);
    else
        b->is_whole = b->has_cursor = false;
}

struct region *biggest_region(const struct biggest *b, struct region_table *t, size_t i)
{
    const struct biggest_list *l = b->is_whole ? &b->found : &b->now;

    return i < l->n ? region_find(t, &l->items[i].handle) : NULL;
}
