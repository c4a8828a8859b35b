// Waiting for space.  A thread that waits holds nothing: others may use the region, and even give back what it waits for.  So the daemon
// is asked without the region's lock, and what it granted is then taken over by an ordinary resize, which finds the work done unless the region
// was shrunk meanwhile.  Where nobody can tell when there is space (a directory), the resize is tried again.
#include <errno.h>
#include <poll.h>

#include "client/region/region.h"
#include "client/util/error.h"
#include "proto/util/clock.h"

enum {
    FIRST_PAUSE_MS = 1,
    LONGEST_PAUSE_MS = 250,
};

static bool is_refused(int e)
{
    return e == -EDQUOT || e == -ENOSPC;
}

// More than there is in all: no waiting helps.
static bool is_hopeless(void)
{
    const struct diskalloc_error_info *info = error_noted();

    return info->limit_name[0] && info->asked > info->limit;
}

// 0; 1: it grows, and may have to wait.
static int begin(struct diskalloc_region *r, uint64_t size)
{
    int e;

    pthread_mutex_lock(&r->lock);
    e = region_check(r, true);
    if (e == 0)
        e = region_check_size(r, size);
    if (e == 0)
        e = size > r->backing->size ? 1 : region_resize_locked(r, size);
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

    for (;;) {
        e = b->ops->await_room ? b->ops->await_room(b, size, until) : 0;
        if (e == 0)
            e = region_resize(r, size);
        else
            return e;
        if (!is_refused(e) || (!b->ops->await_room && is_hopeless()))
            return e;
        if (clock_left(until) == 0)
            return error_why(-ETIMEDOUT, "no space within the time given");
        error_forget();
        if (!b->ops->await_room)
            pause_between(&pause_ms, until);
    }
}

int region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms)
{
    int e;

    if (timeout_ms < -1)
        return error_why(-EINVAL, "a timeout of %d ms", timeout_ms);
    if (!r || timeout_ms == 0)
        return region_resize(r, size);
    e = begin(r, size);
    return e == 1 ? wait_until(r, size, clock_after(timeout_ms)) : e;
}

int diskalloc_region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms)
{
    int e;

    error_begin("diskalloc_region_resize_wait");
    e = region_resize_wait(r, size, timeout_ms);
    if (e == 0)
        atomic_store(&r->kept, r->size);
    return error_end(e);
}
