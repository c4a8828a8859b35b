// See disk.h.
#include "client/preload/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/preload/limit.h"
#include "client/preload/opened.h"
#include "client/preload/own.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/size.h"

#define KEPT ((uint64_t)64 << 20)
#define CHEAP_TO_WRITE ((uint64_t)1 << 20) // zeros of that size are written

enum {
    SETTLE_MS = 100,
    WHY_MAX = 512,
};

struct disk disk;

static _Thread_local char why[WHY_MAX] __attribute__((__tls_model__("initial-exec")));
static uint64_t settle_not_before;

const char *disk_why(void)
{
    return why;
}

static int refuse(int e)
{
    snprintf(why, sizeof why, "%s", e < 0 && *diskalloc_last_error() ? diskalloc_last_error() : strerror(-e));
    return e;
}

static uint64_t count_blank(const struct extents *x, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, sum = 0;

    for (size_t i = extents_at(x, offset); i < x->n && x->items[i].offset < end; i++)
        if (x->items[i].state == EXTENT_BLANK)
            sum += u64_min(end, x->items[i].offset + x->items[i].length) - u64_max(offset, x->items[i].offset);
    return sum;
}

static void set_in_use(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < disk.n_regions; i++)
        if (!disk.regions[i].inherited)
            sum += disk.regions[i].extents.bytes[EXTENT_USED] + disk.regions[i].extents.bytes[EXTENT_DIRTY] +
                   disk.regions[i].extents.bytes[EXTENT_HELD];
    limit_set_used(LIMIT_BLOCKS, sum);
}

static int set(struct disk_region *r, uint64_t offset, uint64_t length, enum extent_state state)
{
    int e = extents_set(&r->extents, offset, length, state);

    set_in_use();
    return e;
}

static int check_limit(uint64_t more)
{
    char text[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX], asked[SIZE_TEXT_MAX];

    if (limit_allows(more))
        return 0;
    snprintf(why, sizeof why, "the limit of this run is %s, used %s, asked %s", size_format(limit.bytes, text),
             size_format(limit_used(), used), size_format(more, asked));
    return -EDQUOT;
}

// Discards OFFSET to OFFSET + LENGTH.  What follows is granted as far as the large page goes: it goes too if it is
// blank, so that holes begin and end where large pages do.
static int discard(struct disk_region *r, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, rounded = align_up(end, DISK_LARGE_PAGE);
    uint64_t size = diskalloc_region_size(r->region);

    if (rounded > end && extents_are(&r->extents, end, rounded - end, 1 << EXTENT_BLANK))
        end = rounded;
    end = u64_min(end, size);
    if (offset >= end)
        return 0;
    return diskalloc_region_discard(r->region, offset, end - offset);
}

// Dirty parts become blank, as far as they can be discarded; FROM to TO.
static int clear_dirty(struct disk_region *r, uint64_t from, uint64_t to)
{
    int e = 0;

    for (uint64_t at = from; e == 0 && at < to;) {
        struct extent x = r->extents.items[extents_at(&r->extents, at)];
        uint64_t begin = u64_max(x.offset, from), end = u64_min(x.offset + x.length, to);

        if (x.state == EXTENT_DIRTY) {
            e = discard(r, begin, end - begin);
            if (e == 0)
                e = set(r, begin, end - begin, EXTENT_BLANK);
        }
        at = end;
    }
    return e;
}

static int make_accessible(struct disk_region *r, uint64_t offset, uint64_t length)
{
    uint64_t size = diskalloc_region_size(r->region), end = offset + length;
    int e = 0;

    if (offset < size)
        e = diskalloc_region_restore(r->region, offset, u64_min(end, size) - offset);
    if (e < 0 || end <= size)
        return e;
    e = diskalloc_region_resize(r->region, align_up(end, DISK_LARGE_PAGE));
    if (e == 0 && offset > size)
        diskalloc_region_discard(r->region, size, offset - size);
    return e;
}

static void write_zeros(const struct disk_region *r, uint64_t offset, uint64_t length)
{
    for (size_t i = extents_at(&r->extents, offset); i < r->extents.n; i++) {
        struct extent x = r->extents.items[i];
        uint64_t from = u64_max(x.offset, offset), to = u64_min(x.offset + x.length, offset + length);

        if (from >= to)
            return;
        if (x.state == EXTENT_DIRTY)
            memset(r->base + from, 0, to - from);
    }
}

// Free bytes become used ones.  0 or -errno.
static int grant(struct disk_region *r, uint64_t offset, uint64_t length, bool zero)
{
    int e;

    if (zero)
        clear_dirty(r, offset, offset + length); // what stays is written
    e = check_limit(count_blank(&r->extents, offset, length));
    if (e == 0) {
        e = make_accessible(r, offset, length);
        if (e < 0)
            refuse(e);
    }
    if (e == 0 && zero)
        write_zeros(r, offset, length);
    if (e == 0)
        e = set(r, offset, length, EXTENT_USED);
    else if (count_blank(&r->extents, offset, length) == length)
        discard(r, offset, length); // what was granted on the way
    return e;
}

// An extent that can be given back when no child reads it any more; NULL: none.
static const struct extent *find_unsettled(const struct disk_region *r)
{
    bool too_much = r->extents.bytes[EXTENT_DIRTY] > KEPT;

    if (r->inherited || (r->extents.bytes[EXTENT_HELD] == 0 && !too_much))
        return NULL;
    for (size_t i = 0; i < r->extents.n; i++)
        if (r->extents.items[i].state == EXTENT_HELD || (r->extents.items[i].state == EXTENT_DIRTY && too_much))
            return &r->extents.items[i];
    return NULL;
}

static void settle(void)
{
    const struct extent *found;

    for (unsigned i = 0; i < disk.n_regions; i++) {
        struct disk_region *r = &disk.regions[i];

        while ((found = find_unsettled(r))) {
            struct extent x = *found;

            if (clock_now() < settle_not_before)
                return;
            if (discard(r, x.offset, x.length) < 0 || set(r, x.offset, x.length, EXTENT_BLANK) < 0) {
                settle_not_before = clock_after(SETTLE_MS);
                return;
            }
        }
    }
}

static int add_region(uint64_t length, struct disk_region **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct disk_region *r = &disk.regions[disk.n_regions];
    struct diskalloc *da;
    int e = opened_get(&da);

    if (e < 0)
        return refuse(e);
    if (disk.n_regions == DISK_REGIONS_MAX) {
        snprintf(why, sizeof why, "this process has %d regions for large blocks, and may have no more",
                 DISK_REGIONS_MAX);
        return -ENOMEM;
    }
    *r = (struct disk_region){.fd = -1};
    if (length > (uint64_t)128 << 30 && length < (uint64_t)1 << 46)
        o.reserve = 2 * align_up(length, DISK_LARGE_PAGE);
    e = diskalloc_region_create(da, &o, &r->region);
    if (e < 0)
        return refuse(e);
    r->base = diskalloc_region_data(r->region);
    e = extents_init(&r->extents, align_down(diskalloc_region_reserve(r->region), DISK_LARGE_PAGE));
    if (e == 0 && !own_add(r->base, diskalloc_region_reserve(r->region), OWN_BLOCKS, NULL))
        e = -ENOMEM;
    if (e < 0) {
        extents_deinit(&r->extents);
        diskalloc_region_close(r->region);
        return refuse(e);
    }
    disk.n_regions++;
    *ret = r;
    return 0;
}

// Whether another region may have what this one was refused.
static bool is_of_the_region(int e)
{
    struct diskalloc_error_info info;

    if (e != -EDQUOT || diskalloc_last_error_info(&info, sizeof info) < 0)
        return false;
    return strstr(info.limit_name, "region_bytes");
}

static int take_from(unsigned states, uint64_t length, uint64_t align, bool zero, unsigned *ret_region,
                     uint64_t *ret_offset)
{
    int e = -EAGAIN;

    for (unsigned i = 0; i < disk.n_regions; i++) {
        struct disk_region *r = &disk.regions[i];

        if (r->inherited || !extents_find(&r->extents, length, (uintptr_t)r->base, align, states, ret_offset))
            continue;
        e = grant(r, *ret_offset, length, zero);
        *ret_region = i;
        if (e == 0 || !is_of_the_region(e))
            return e;
        e = -EAGAIN;
    }
    return e;
}

static int take(uint64_t length, uint64_t align, bool zero, unsigned *ret_region, uint64_t *ret_offset)
{
    unsigned any = 1 << EXTENT_BLANK | 1 << EXTENT_DIRTY;
    struct disk_region *r = NULL;
    int e = check_limit(0);

    if (e == 0)
        e = take_from(zero ? 1 << EXTENT_BLANK : 1 << EXTENT_DIRTY, length, align, zero, ret_region, ret_offset);
    if (e == -EAGAIN)
        e = take_from(any, length, align, zero, ret_region, ret_offset);
    if (e != -EAGAIN)
        return e;
    e = add_region(length, &r);
    if (e < 0)
        return e;
    if (!extents_find(&r->extents, length, (uintptr_t)r->base, align, any, ret_offset)) {
        snprintf(why, sizeof why, "no region has that many addresses");
        return -ENOMEM;
    }
    *ret_region = (unsigned)(r - disk.regions);
    return grant(r, *ret_offset, length, zero);
}

// Gives back what was kept.  False: nothing was.
static bool drop_kept(void)
{
    uint64_t before = limit_used();

    for (unsigned i = 0; i < disk.n_regions; i++)
        if (!disk.regions[i].inherited && disk.regions[i].extents.bytes[EXTENT_DIRTY] > 0)
            clear_dirty(&disk.regions[i], 0, diskalloc_region_size(disk.regions[i].region));
    return limit_used() < before;
}

int disk_take(uint64_t length, uint64_t align, bool zero, unsigned *ret_region, uint64_t *ret_offset)
{
    int e;

    settle();
    e = take(length, align, zero, ret_region, ret_offset);
    if (e < 0 && drop_kept())
        e = take(length, align, zero, ret_region, ret_offset);
    return e;
}

int disk_extend(unsigned region, uint64_t offset, uint64_t length, bool zero)
{
    struct disk_region *r = &disk.regions[region];

    int e;

    if (r->inherited || !extents_are(&r->extents, offset, length, 1 << EXTENT_BLANK | 1 << EXTENT_DIRTY))
        return -EAGAIN;
    e = grant(r, offset, length, zero);
    if (e < 0 && drop_kept())
        e = grant(r, offset, length, zero);
    return e;
}

void disk_give(unsigned region, uint64_t offset, uint64_t length, unsigned born, bool keep)
{
    struct disk_region *r = &disk.regions[region];
    int e;

    if (r->inherited)
        return;
    if (keep && r->extents.bytes[EXTENT_DIRTY] + length <= KEPT && born == disk.forks) {
        set(r, offset, length, EXTENT_DIRTY);
        return;
    }
    e = discard(r, offset, length);
    // A child that was forked meanwhile reads these bytes.  What it does not have may be used again.
    if (e == 0)
        set(r, offset, length, EXTENT_BLANK);
    else
        set(r, offset, length, born < disk.forks ? EXTENT_HELD : EXTENT_DIRTY);
    settle();
}

int disk_zero(unsigned region, uint64_t offset, uint64_t length, unsigned born)
{
    struct disk_region *r = &disk.regions[region];
    bool was_shared = born < disk.forks;
    int e = -EAGAIN;

    if (length >= CHEAP_TO_WRITE || was_shared)
        e = diskalloc_region_discard(r->region, offset, length);
    if (e == 0)
        return diskalloc_region_restore(r->region, offset, length);
    if (e == -EBUSY && was_shared)
        return e;
    memset(r->base + offset, 0, length);
    return 0;
}

void disk_abandon(unsigned region, uint64_t offset, uint64_t length)
{
    set(&disk.regions[region], offset, length, EXTENT_HELD);
}

void disk_forked(void)
{
    for (unsigned i = 0; i < disk.n_regions; i++)
        disk.regions[i].inherited = true;
    disk.forks = 0;
}
