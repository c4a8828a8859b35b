// Resizing.  Growing is blocks, then access; shrinking is access, then blocks.  So a byte that can be touched is a
// byte on disk, at every moment, and a call that fails on the way changes nothing.
//
// If nobody knows whether a shrink was carried out, because the daemon went and did not come back in time, the bytes
// behind the new size stay inaccessible, and the region has that size, until the daemon says which one is true
// (region_reconcile).  If the daemon comes back and does not know the region any more, because it was unlinked, the
// mapping tells: see settle_by_mapping.
//
// Waiting for space.  A thread that waits holds no lock: other threads may use the region, and even give back the
// space that it waits for.  The daemon is asked without the region's lock (await_room); the space that it granted is
// then taken over by an ordinary resize, which finds the work done unless the region was shrunk meanwhile.  A
// directory can't tell when there is space: there the resize is tried again, after growing pauses; so is a grow that
// another process's lock on the file keeps out.
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    FIRST_PAUSE_MS = 1,
    LONGEST_PAUSE_MS = 250,
    AGREE_MS = 1000, // for others to agree to a shrink, where the program has not said how long
};

static int grow(struct diskalloc_region *r, uint64_t size)
{
    uint64_t before = r->backing->size, agree_until = r->backing->agree_until;
    int e = r->backing->ops->grow(r->backing, size);

    if (e < 0)
        return e;
    e = region_follow_backing(r);
    // Blocks without access are of no use.
    r->backing->agree_until = 0;
    if (e < 0)
        r->backing->ops->shrink(r->backing, before);
    r->backing->agree_until = agree_until;
    return e;
}

static int grow_or_wait(struct diskalloc_region *r, uint64_t size)
{
    uint64_t since = region_mark(r);
    int e = grow(r, size);

    return region_may_try_again(r, e, since) ? grow(r, size) : e;
}

// The daemon will never say whether it has cut the file.  The last page that would be gone is still there, or not; of
// an end within the page nothing is lost.  1: nothing was cut; 0: it was; -errno: nobody knows.
static int settle_by_mapping(struct diskalloc_region *r, uint64_t size)
{
    struct backing *b = r->backing;
    uint64_t last = align_down(r->size - 1, region_unit());
    int reaches = 0;

    if (ranges_overlap(&b->discarded, last, 1) > 0)
        return -EAGAIN;
    if (last >= size)
        reaches = mapping_reaches(&r->mapping, last);
    if (reaches < 0)
        return reaches;
    b->unsure = false;
    b->size = reaches ? r->size : size;
    return reaches;
}

static int take_away(struct diskalloc_region *r, uint64_t size)
{
    struct backing *b = r->backing;
    uint64_t since = region_mark(r);
    int e;

    prefetch_cut(&r->prefetch, size);
    writeback_cut(&r->writeback, size);
    adapt_cut(&r->adapt, size);
    e = mapping_set_access(&r->mapping, size, &b->discarded);
    if (e < 0)
        return e;
    e = b->ops->shrink(b, size);
    if (region_may_try_again(r, e, since))
        e = b->ops->shrink(b, size);
    if (e == -ESTALE && b->unsure && settle_by_mapping(r, size) == 0)
        e = 0;
    if (e == 0)
        return region_follow_backing(r);
    if (b->unsure) {
        guard_zero(&r->guard, size, r->size);
        atomic_store(&r->size, size);
        return e;
    }
    // A disk that reports an error may have cut the file all the same.
    if (b->size < r->size) {
        region_follow_backing(r);
    } else if (mapping_set_access(&r->mapping, r->size, &b->discarded) < 0) {
        // Granted bytes that stay inaccessible: region_reconcile tries again.
        b->unsure = true;
        atomic_store(&r->size, size);
    }
    return e;
}

static int shrink_to(struct diskalloc_region *r, uint64_t size)
{
    int e;

    filling_halt(&r->filling);
    e = take_away(r, size);
    filling_go_on(&r->filling, size);
    return e;
}

// Discarded parts are whole blocks before the end of the region.  A discarded block that the new end would lie in is
// granted again first.
static int shrink(struct diskalloc_region *r, uint64_t size)
{
    uint64_t block = align_down(size, region_unit());
    uint64_t length = u64_min(region_unit(), align_up(r->size, DISCARD_BLOCK) - block);
    bool restored = block < size && ranges_overlap(&r->backing->discarded, block, length) > 0;
    int e = region_check_alone(r);

    if (e == 0 && restored)
        e = region_restore_locked(r, block, length);
    if (e < 0)
        return e;
    e = shrink_to(r, size);
    if (e < 0 && restored && !r->backing->unsure)
        region_discard_locked(r, block, length);
    return e;
}

// -EAGAIN of the backing: the size was another one than this region knew.  That size is taken over, and may turn a
// shrink into a grow.
static int resize(struct diskalloc_region *r, uint64_t size)
{
    int e = region_check_size(r, size);

    if (e < 0)
        return e;
    for (;;) {
        if (size == r->size && size == r->backing->size && !r->backing->may_have_holes)
            return 0;
        e = size >= r->backing->size ? grow_or_wait(r, size) : shrink(r, size);
        if (e != -EAGAIN)
            return e;
        e = region_follow_backing(r);
        if (e < 0)
            return e;
    }
}

// A call that fails changes nothing, also when it found on its way that another process had grown the region.
static int resize_locked(struct diskalloc_region *r, uint64_t size)
{
    uint64_t size_before, used_before;
    int e = region_reconcile(r);

    if (r->small.fileless)
        return region_resize_small(r, size);
    // A grow needs not all bytes in the file.
    if (e == 0 && r->small.head > 0)
        e = region_need_file(r);
    if (e == -EBUSY && size > r->size) {
        error_forget();
        error_handle(r->handle);
        e = 0;
    }
    if (e == 0)
        e = region_disagree_locked(r);
    size_before = r->size;
    used_before = r->used;
    if (e == 0)
        e = resize(r, size);
    if (e < 0 && r->size > size_before) {
        mapping_set_access(&r->mapping, size_before, &r->backing->discarded);
        atomic_store(&r->size, size_before);
        atomic_store(&r->used, used_before);
    }
    return e;
}

int region_reserve(struct diskalloc_region *r)
{
    int e;

    if (!r->backing->may_have_holes || region_is_inherited(r))
        return 0;
    e = region_hold_file(r);
    return e < 0 ? e : grow(r, r->backing->size);
}

// UNTIL: see grow_until.  AGREE_UNTIL: see there.
static int resize_until(struct diskalloc_region *r, uint64_t size, uint64_t until, uint64_t agree_until)
{
    uint64_t before;
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    before = r->size;
    e = region_check(r, true);
    r->backing->grow_until = until;
    r->backing->agree_until = agree_until;
    if (e == 0)
        e = resize_locked(r, size);
    r->backing->grow_until = r->backing->agree_until = 0;
    if (e == 0 && r->size > before)
        region_lend_file(r);
    // The record of the region was cut as well: a vector must not take that for a commit of others.
    if (e == 0 && r->size < before && r->agreed > r->size)
        r->agreed = r->size;
    pthread_mutex_unlock(&r->lock);
    return e;
}

int region_resize(struct diskalloc_region *r, uint64_t size)
{
    return resize_until(r, size, 0, 0);
}

int region_resize_agreed(struct diskalloc_region *r, uint64_t size)
{
    return resize_until(r, size, 0, clock_after(AGREE_MS));
}

// Another thread may grow the region too: then both parts are watched.
static void watch_growth(struct diskalloc_region *r, uint64_t before)
{
    uint64_t size = r->size;

    if (size > before)
        filling_begin(&r->filling, before, size);
}

static int resize_to_fill(struct diskalloc_region *r, uint64_t size, bool asks)
{
    uint64_t before = r ? r->size : 0;
    int e = asks ? region_resize_agreed(r, size) : region_resize(r, size);

    if (r && e == 0)
        watch_growth(r, before);
    return e;
}

int region_resize_to_fill(struct diskalloc_region *r, uint64_t size)
{
    return resize_to_fill(r, size, false);
}

int diskalloc_region_resize(struct diskalloc_region *r, uint64_t size)
{
    int e;

    error_begin("diskalloc_region_resize");
    e = resize_to_fill(r, size, true);
    if (e == 0)
        atomic_store(&r->kept, r->size);
    return error_end(e);
}

static bool is_refused(int e)
{
    return e == -EDQUOT || e == -ENOSPC;
}

// A grow in a directory met another process's lock on the file.
static bool is_locked_out(struct diskalloc_region *r, uint64_t size, int e)
{
    return e == -EBUSY && !r->backing->ops->await_room && size > r->size;
}

// An attempt of a thread that waits.  The attempt holds the region's lock, and other threads must not wait for this
// one.
static int attempt(struct diskalloc_region *r, uint64_t size, uint64_t until)
{
    return resize_until(r, size, u64_min(until, clock_after(LONGEST_PAUSE_MS)), 0);
}

// More was asked for than the limit allows in all: waiting does not help.
static bool is_hopeless(void)
{
    const struct diskalloc_error_info *info = error_noted();

    return info->limit_name[0] && info->limit > 0 && info->asked > info->limit;
}

// The resize as far as it needs no waiting.  0: it is done; 1: the region has to grow, and that may have to wait;
// -errno.
static int begin(struct diskalloc_region *r, uint64_t size, uint64_t until)
{
    int e;

    pthread_mutex_lock(&r->lock);
    e = region_check(r, true);
    if (e == 0)
        e = region_check_size(r, size);
    if (e == 0 && r->backing->unsure)
        e = region_reconcile(r);
    r->backing->agree_until = until;
    if (e == 0)
        e = size > r->backing->size ? 1 : resize_locked(r, size);
    r->backing->agree_until = 0;
    pthread_mutex_unlock(&r->lock);
    return e;
}

static void pause_between(int *pause_ms, uint64_t until)
{
    uint64_t left = clock_left(until);

    poll(NULL, 0, left < (uint64_t)*pause_ms ? (int)left : *pause_ms);
    *pause_ms = *pause_ms * 2 < LONGEST_PAUSE_MS ? *pause_ms * 2 : LONGEST_PAUSE_MS;
}

static int wait_until(struct diskalloc_region *r, uint64_t size, uint64_t until)
{
    struct backing *b = r->backing;
    int pause_ms = FIRST_PAUSE_MS, e;
    bool locked_out;

    for (;;) {
        e = b->ops->await_room ? b->ops->await_room(b, size, until) : 0;
        if (e == 0)
            e = attempt(r, size, until);
        else
            return e;
        locked_out = is_locked_out(r, size, e);
        if (!locked_out && (!is_refused(e) || (!b->ops->await_room && is_hopeless())))
            return e;
        if (clock_left(until) == 0)
            return locked_out ? -ETIMEDOUT : error_why(-ETIMEDOUT, "no space within the time given");
        error_forget();
        if (!b->ops->await_room)
            pause_between(&pause_ms, until);
    }
}

// Whether a wait that failed with E may have been granted by the daemon all the same.
static bool may_be_granted(const struct diskalloc_region *r, int e)
{
    return e < 0 && r->backing->ops->await_room && !is_refused(e) && e != -ETIMEDOUT && e != -ESTALE;
}

// A call that fails changes nothing.  Where the daemon can't be asked, or others have come to the region meanwhile, the
// space stays, and the next call finds it.
static void give_room_back(struct diskalloc_region *r, uint64_t size, int e)
{
    struct backing *b = r->backing;
    char why[256];

    snprintf(why, sizeof why, "%s", error_reason());
    pthread_mutex_lock(&r->lock);
    region_settle_early(r, true);
    // A daemon that has gone is not waited for again.
    b->unsure |= e == -ECONNRESET || b->ops->refresh(b) < 0;
    if (!b->unsure && b->size == size && r->size < size)
        b->ops->shrink(b, r->size);
    pthread_mutex_unlock(&r->lock);
    error_why(e, "%s", why);
}

int region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms)
{
    uint64_t until;
    int e;

    if (timeout_ms < -1)
        return error_why(-EINVAL, "a timeout of %d ms", timeout_ms);
    if (!r || timeout_ms == 0)
        return region_resize_agreed(r, size);
    until = clock_after(timeout_ms);
    e = begin(r, size, until);
    if (e != 1)
        return e;
    e = wait_until(r, size, until);
    if (may_be_granted(r, e))
        give_room_back(r, size, e);
    return e;
}

int diskalloc_region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms)
{
    uint64_t before = r ? r->size : 0;
    int e;

    error_begin("diskalloc_region_resize_wait");
    e = region_resize_wait(r, size, timeout_ms);
    if (r && e == 0) {
        watch_growth(r, before);
        atomic_store(&r->kept, r->size);
    }
    return error_end(e);
}
