// Adaptive reading: a part of a region that is read at scattered places gets single pages, and large pages again when
// it is read in runs.
//
// client/memory/watch.c says when to look, client/memory/pattern.c what it means.  Here is what is done about it: the
// same as for the advice RANDOM and NORMAL of a program.  Advice that the program has given itself stands: ranges with
// SEQUENTIAL or RANDOM are left as they are, and a part that mostly has such advice is not looked at.  NORMAL ends
// that.
//
// Large pages that are in memory when a part changes to single ones are split (split.c), because stores to them would
// cost more than stores to single ones.
//
// Where a scan meets single pages that are in memory, the kernel reads around each of them, at a fifth of the speed
// (measured).  So they are dropped, part by part, when a part changes to large pages.
//
// Single pages are asked for up to the end that the region has then.  What it grows by has large pages, because pages
// are made faster so, until the next change.
//
// Where only a descriptor of the file tells what is in memory (residency.c), the region keeps one while its client has
// more than fits into memory.  A client has 16 such descriptors at most; the regions beyond are not adapted.
//
// Locks: the state is changed with the region's lock held.  The client's thread reads some fields without it, which
// are atomic, and only tries the lock, as a thread that holds it may wait for the client's thread.  If the lock is not
// free, the same verdict comes again.
#include "client/memory/adapt.h"

#include <sys/mman.h>

#include "client/memory/advice.h"
#include "client/memory/announce.h"
#include "client/memory/pattern.h"
#include "client/memory/watch.h"
#include "client/memory/windows.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "proto/util/page.h"

#define UNIT ((uint64_t)2 << 20)
#define FAR ((uint64_t)128 << 10) // from the place before

enum { SAMPLE = 8, SMALL = 32768, MOST_FILES = 16 };

// Leaves out discarded parts, and the units in which they begin and end: those have small pages for ever (mapping.c).
static void advise_granted(struct adapt *a, uint64_t from, uint64_t to, int advice)
{
    const struct ranges *discarded = a->discarded;

    for (size_t i = ranges_find(discarded, align_down(from, UNIT)); from < to; i++) {
        bool last = i >= discarded->n || align_down(discarded->items[i].offset, UNIT) >= to;
        uint64_t end = last ? to : align_down(discarded->items[i].offset, UNIT);

        if (from < end)
            advice_give(a->mapping, from, end, advice);
        if (last)
            break;
        from = u64_max(from, align_up(discarded->items[i].offset + discarded->items[i].length, UNIT));
    }
}

// Leaves out, besides, ranges for which the program has given its own advice.
static void advise_rest(struct adapt *a, uint64_t from, uint64_t to, int advice)
{
    const struct ranges *own = &a->own;

    for (size_t i = ranges_find(own, from); from < to; i++) {
        bool last = i >= own->n || own->items[i].offset >= to;
        uint64_t end = last ? to : own->items[i].offset;

        if (from < end)
            advise_granted(a, from, end, advice);
        if (last)
            break;
        from = own->items[i].offset + own->items[i].length;
    }
}

static void make_large(struct adapt *a, unsigned i)
{
    advise_rest(a, i * a->part_size, a->single_to[i], MADV_NORMAL);
    a->single_to[i] = 0;
    a->watch->n_large++;
}

static void make_single(struct adapt *a, unsigned i)
{
    uint64_t from = i * a->part_size, to = u64_min(from + a->part_size, align_down(a->watched.size, UNIT));

    if (from >= to)
        return;
    advise_rest(a, from, to, MADV_RANDOM);
    a->single_to[i] = to;
    a->watch->n_single++;
}

static void make_all_large(struct adapt *a)
{
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (a->single_to[i] > 0)
            make_large(a, i);
}

static void find_skipped(struct adapt *a)
{
    uint32_t skipped = 0, advised = 0;

    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        uint64_t own = a->own_everywhere ? a->part_size : ranges_overlap(&a->own, i * a->part_size, a->part_size);

        skipped |= (uint32_t)(a->own_everywhere || own * 2 > a->part_size) << i;
        advised |= (uint32_t)(a->own_everywhere || own > 0) << i;
    }
    a->skipped = skipped;
    a->advised = advised;
}

static uint16_t look_at_window(void *data, uint64_t at)
{
    const struct adapt *a = data;

    return residency_window(&a->residency, at, PATTERN_WINDOW);
}

static void lay_out(struct adapt *a, uint64_t part_size)
{
    if (pthread_mutex_trylock(a->lock) != 0)
        return;
    make_all_large(a);
    a->part_size = part_size;
    find_skipped(a);
    pattern_reset(a->pattern, part_size);
    pthread_mutex_unlock(a->lock);
}

static void carry_out(struct adapt *a)
{
    if (pthread_mutex_trylock(a->lock) != 0)
        return;
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        enum pattern_verdict verdict = (a->skipped & 1U << i) ? PATTERN_UNKNOWN : a->pattern->verdicts[i];

        if (verdict == PATTERN_SCATTERED && a->single_to[i] == 0)
            make_single(a, i);
        if (verdict == PATTERN_RUNS && a->single_to[i] > 0) {
            make_large(a, i);
            a->leftovers |= 1U << i;
        }
    }
    a->first_run = a->pattern->first_run;
    pthread_mutex_unlock(a->lock);
}

// The first parts are the one that is read in a run, and those behind it.
static bool drop_some_leftovers(struct adapt *a)
{
    unsigned i = a->first_run;

    while (!(a->leftovers & 1U << i))
        i = (i + 1) % PATTERN_PARTS;
    a->leftovers &= ~(1U << i);
    residency_drop(&a->residency, i * a->part_size, u64_min((i + 1) * a->part_size, a->watched.size));
    return a->leftovers != 0;
}

// Nobody tells how the region is read, nor when single pages are wrong.  Large pages are wrong less often.
static void lose_sight(struct adapt *a)
{
    a->blind = true;
    if (pthread_mutex_trylock(a->lock) != 0)
        return;
    make_all_large(a);
    pthread_mutex_unlock(a->lock);
}

// Not where large pages may be the program's wish.
static void split_large(struct adapt *a)
{
    struct split_region r = {.mapping = a->mapping, .residency = &a->residency, .part_size = a->part_size};

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        r.single_to[i] = (a->advised & 1U << i) ? 0 : a->single_to[i];
    split_look(&a->split, &r, clock_now());
}

static bool look(struct watch_entry *e, bool regular)
{
    struct adapt *a = container_of(e, struct adapt, watched);
    struct pattern_region q = {.size = a->watched.size, .skipped = a->skipped, .look = look_at_window, .data = a};

    q.sparse = a->watch->sparse;
    if (a->leftovers)
        return drop_some_leftovers(a);
    if (!a->pattern)
        a->pattern = pattern_new();
    if (!a->pattern)
        return false;
    if (a->pattern->part_size != windows_part_size(q.size)) {
        lay_out(a, windows_part_size(q.size));
        return false;
    }
    if (!residency_begin(&a->residency)) {
        lose_sight(a);
        return false;
    }
    regular = regular && !a->blind;
    a->blind = false;
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        q.single_to[i] = a->single_to[i];
        q.announced[i] = atomic_exchange(&a->announced[i], 0);
    }
    if (pattern_look(a->pattern, &q, regular))
        carry_out(a);
    split_large(a);
    return a->leftovers != 0;
}

void adapt_init(struct adapt *a, struct watch *watch, pthread_mutex_t *lock, struct mapping *mapping)
{
    *a = (struct adapt){.watched.look = look, .watch = watch, .lock = lock, .mapping = mapping};
    residency_init(&a->residency, mapping);
}

void adapt_deinit(struct adapt *a)
{
    if (a->watch)
        watch_remove(a->watch, &a->watched);
    if (a->watch && a->keeps_file)
        a->watch->n_files--;
    pattern_free(a->pattern);
    ranges_deinit(&a->own);
}

static bool is_far(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) >= FAR;
}

// Each eighth place, and the first one, is compared with the place before it.
void adapt_note_announced(struct adapt *a, const struct announce_places *places)
{
    uint64_t size = a->part_size, before;

    if (!a->watch || !a->watch->awake || places->length > SMALL || places->n == 0)
        return;
    before = atomic_exchange(&a->last_announced, places->at[places->n - 1] * places->unit);
    for (size_t i = 0; i < places->n; i += SAMPLE) {
        uint64_t at = places->at[i] * places->unit;

        if (i > 0)
            before = places->at[i - 1] * places->unit;
        if (!is_far(at, before))
            continue;
        a->watch->announced = true;
        if (size > 0 && at / size < PATTERN_PARTS)
            a->announced[at / size]++;
    }
}

void adapt_note_size(struct adapt *a, uint64_t size, const struct ranges *discarded)
{
    a->discarded = discarded;
    if (a->watch)
        watch_note(a->watch, &a->watched, size);
}

// A region that fits into memory together with the others needs no descriptor.
bool adapt_wants_file(const struct adapt *a)
{
    return a->watch && a->watch->awake && a->watched.listed && (a->keeps_file || a->watch->n_files < MOST_FILES) &&
           residency_needs_file(&a->residency);
}

bool adapt_give_file(struct adapt *a, const struct descriptor *file)
{
    if (!residency_give_file(&a->residency, file))
        return false;
    a->watch->n_files += !a->keeps_file;
    a->keeps_file = true;
    return true;
}

void adapt_cut(struct adapt *a, uint64_t size)
{
    uint64_t end = align_up(size, UNIT);

    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        uint64_t from = i * a->part_size, to = a->single_to[i];

        if (to <= end)
            continue;
        advise_rest(a, u64_max(from, end), to, MADV_NORMAL);
        a->single_to[i] = end > from ? end : 0;
    }
}

void adapt_note_advice(struct adapt *a, uint64_t from, uint64_t to, int advice)
{
    if (!a->watch || a->watch->off || from >= to ||
        (advice != MADV_NORMAL && advice != MADV_RANDOM && advice != MADV_SEQUENTIAL))
        return;
    if (advice == MADV_NORMAL) {
        if (ranges_remove(&a->own, from, to - from) < 0)
            a->own_everywhere = true;
        for (unsigned i = 0; i < PATTERN_PARTS; i++)
            if (a->single_to[i] > from && i * a->part_size < to)
                make_large(a, i);
    } else if (ranges_add(&a->own, from, to - from) < 0) {
        a->own_everywhere = true;
    }
    if (a->own.n == 0)
        a->own_everywhere = false;
    find_skipped(a);
}

void adapt_forget(struct adapt *a)
{
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        a->single_to[i] = 0;
    ranges_deinit(&a->own);
    a->own_everywhere = false;
    a->skipped = a->advised = 0;
}

void adapt_forked(struct adapt *a)
{
    a->watched.listed = false;
    a->keeps_file = false;
}
