// Large pages that were in memory when a part of a region changed to single ones (adapt.c).
//
// Read at random they do no harm: in time they make room.  But a store to one makes its whole 2 MiB dirty, and the
// kernel writes 2 MiB for 8 bytes.  Being hit 512 times as often as a single page, a large one is dirty again before it
// could be given up: it stays in memory, single pages have to make room in its place, and the disk is busy writing.
// Updates at random of 2 GiB in 256 MiB were half as fast as where all pages were single (Linux 6.18, ext4).
//
// The kernel splits a large page of a file when it is given advice about a piece of it (MADV_COLD, Linux 5.4), if the
// page is clean then, and in the page table.  Nobody tells whether it is.  But the kernel writes dirty pages by itself
// when there are too many, so each is clean for a moment now and then.  So the advice is given at each look for three
// seconds after a part has changed, and seldom later, in case that stores begin only then.  Sending the dirty pages to
// the disk, by sync_file_range, gained nothing more, and needs a descriptor.
//
// A large page is known by two of its pages, far from each other, that are both in memory.  If they are single pages,
// nothing happens but that one of them is taken for unused.
#include "client/memory/split.h"

#include <sys/mman.h>

#include "client/memory/mapping.h"
#include "client/memory/residency.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/page.h"

#define UNIT ((uint64_t)2 << 20)
#define PAGE ((uint64_t)PAGE_WITH_HUGE_OF_2_MIB)
#define ONE_PLACE (137 * PAGE) // no power of two apart, as the pages of a stride are
#define OTHER_PLACE (402 * PAGE)

enum {
    LOOK_US = 2000,
    FREQUENT_MS = 3000, // after another part has got single pages
    PAUSE_MS = 5000,    // later, between passes
    PAUSE_SHARE = 20,   // or so many times as long as the pass has taken
};

static bool is_in_memory(const struct split_region *r, uint64_t at)
{
    return residency_window(r->residency, at, 1) != 0;
}

static void split_page(const struct mapping *m, uint64_t at)
{
    madvise(m->base + at, PAGE, MADV_POPULATE_READ);
    madvise(m->base + at, PAGE, MADV_COLD);
}

static void begin_pass(struct split *s, uint64_t at)
{
    s->part = 0;
    s->at = 0;
    s->next = at;
}

static void end_pass(struct split *s, uint64_t now)
{
    uint64_t pause = u64_max(PAUSE_MS, PAUSE_SHARE * (now - s->next));

    begin_pass(s, now < s->frequent_until ? now : now + pause);
}

static void find_new(struct split *s, const struct split_region *r, uint64_t now)
{
    uint32_t single = 0;

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        single |= (uint32_t)(r->single_to[i] > 0) << i;
    if (single & ~s->single) {
        begin_pass(s, now);
        s->frequent_until = now + FREQUENT_MS;
    }
    s->single = single;
}

// The next 2 MiB that have single pages; false: the pass has come to the end.
static bool find_next(struct split *s, const struct split_region *r, uint64_t *ret_at)
{
    while (s->part < PATTERN_PARTS && s->part * r->part_size + s->at + UNIT > r->single_to[s->part]) {
        s->part++;
        s->at = 0;
    }
    if (s->part == PATTERN_PARTS)
        return false;
    *ret_at = s->part * r->part_size + s->at;
    s->at += UNIT;
    return true;
}

void split_look(struct split *s, const struct split_region *r, uint64_t now)
{
    uint64_t end = clock_now_us() + LOOK_US, at;

    if (page_size() != PAGE)
        return;
    find_new(s, r, now);
    if (now < s->next || s->single == 0)
        return;
    if (s->part == 0 && s->at == 0) // nobody may have looked for long
        s->next = now;
    while (find_next(s, r, &at)) {
        if (is_in_memory(r, at + ONE_PLACE) && is_in_memory(r, at + OTHER_PLACE))
            split_page(r->mapping, at + ONE_PLACE);
        if (clock_now_us() >= end)
            return;
    }
    end_pass(s, now);
}
