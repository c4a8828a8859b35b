// The program's own words about its use of a region: advice, and reads that it announces.
#include <errno.h>
#include <sys/mman.h>

#include "client/memory/advice.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/size.h"

static const int kernel_advice[] = {
    [DISKALLOC_ADVICE_NORMAL] = MADV_NORMAL, [DISKALLOC_ADVICE_SEQUENTIAL] = MADV_SEQUENTIAL,
    [DISKALLOC_ADVICE_RANDOM] = MADV_RANDOM, [DISKALLOC_ADVICE_WILLNEED] = MADV_WILLNEED,
    [DISKALLOC_ADVICE_COLD] = MADV_COLD,
};

static void note_advice(struct diskalloc_region *r, uint64_t from, uint64_t to, int advice)
{
    adapt_note_advice(&r->adapt, from, to, advice);
    filling_note_advice(&r->filling, from, to, advice);
}

static int advise(struct diskalloc_region *r, uint64_t from, uint64_t to, int advice)
{
    int e = advice_give(&r->mapping, from, to, kernel_advice[advice]);

    mapping_guard(&r->mapping, from, to, &r->backing->discarded);
    if (e == 0)
        note_advice(r, from, to, kernel_advice[advice]);
    return e == -EINVAL ? error_why(-EOPNOTSUPP, "the kernel does not know that advice") : e;
}

static int check_advice(int advice)
{
    if (advice < 0 || (size_t)advice >= sizeof kernel_advice / sizeof *kernel_advice)
        return error_why(-EINVAL, "%d is no advice", advice);
    return 0;
}

int region_advise_whole(struct diskalloc_region *r, int a)
{
    int e = check_advice(a);

    if (e < 0)
        return e;
    pthread_mutex_lock(&r->lock);
    error_handle(r->handle);
    e = advise(r, 0, r->mapping.reserve, a);
    if (e == 0 && a <= DISKALLOC_ADVICE_RANDOM)
        r->advice = a;
    pthread_mutex_unlock(&r->lock);
    return e;
}

void region_read_alone(struct diskalloc_region *r, uint64_t to)
{
    pthread_mutex_lock(&r->lock);
    advice_read_alone(&r->mapping, to);
    note_advice(r, 0, r->mapping.reserve, MADV_RANDOM);
    pthread_mutex_unlock(&r->lock);
}

void region_advise_again(struct diskalloc_region *r)
{
    pthread_mutex_lock(&r->lock);
    advise(r, 0, r->mapping.reserve, r->advice);
    pthread_mutex_unlock(&r->lock);
    error_forget();
}

void region_advise_anew(struct diskalloc_region *r)
{
    if (r->advice != DISKALLOC_ADVICE_NORMAL)
        advise(r, 0, r->mapping.reserve, r->advice);
}

static int advise_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length, int a)
{
    uint64_t from = align_down(offset, region_unit()), to = align_up(offset + length, region_unit());
    int e;

    error_handle(r->handle);
    e = check_advice(a);
    if (e == 0)
        e = region_check_range(r, offset, length);
    return e < 0 || length == 0 || r->small.fileless ? e : advise(r, from, to, a);
}

int diskalloc_region_advise(struct diskalloc_region *r, uint64_t offset, uint64_t length, int advice)
{
    int e;

    error_begin("diskalloc_region_advise");
    if (!r)
        return error_end(error_why(-EINVAL, "no region"));
    pthread_mutex_lock(&r->lock);
    e = advise_locked(r, offset, length, advice);
    pthread_mutex_unlock(&r->lock);
    return error_end(e);
}

// Reads SIZE once: another thread may resize the region meanwhile, and then a place is read that is not there, which
// the kernel leaves out.
static int check_places(uint64_t size, const uint64_t *at, size_t n, uint64_t unit, uint64_t length)
{
    uint64_t from;

    for (size_t i = 0; i < n; i++)
        if (!checked_mul(at[i], unit, &from) || from > size || length > size - from)
            return -EINVAL;
    return 0;
}

int region_announce(struct diskalloc_region *r, const uint64_t *at, size_t n, uint64_t unit, uint64_t length)
{
    const struct announce_places places = {.at = at, .n = n, .unit = unit, .length = length};
    char text[SIZE_TEXT_MAX];
    uint64_t size;

    if (!r)
        return error_why(-EINVAL, "no region");
    error_handle(r->handle);
    if (n > 0 && !at)
        return error_why(-EINVAL, "no places");
    size = r->size;
    if (check_places(size, at, n, unit, length) < 0)
        return error_why(-EINVAL, "a place is not in the %s that there are", size_format(size, text));
    if (length > 0) {
        adapt_note_announced(&r->adapt, &places);
        announce(&r->announced, &places);
    }
    return 0;
}

int diskalloc_region_prefetch(struct diskalloc_region *r, const uint64_t *offsets, size_t n, uint64_t length)
{
    error_begin("diskalloc_region_prefetch");
    return error_end(region_announce(r, offsets, n, 1, length));
}
