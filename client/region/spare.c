// The region of the next small vector, made before there is need.
//
// Nearly all that a small vector costs is making its pages: 270 us of the 450 us of a vector of 1 MiB (Linux 6.18,
// ext4).  The thread that makes pages ahead of large vectors (client/memory/prefetch.c) can't help a small one, whose
// pages are needed at once.  So a client that makes many vectors in a row, of a size that its last ones reached, has
// the region of the next one made too.  While the program fills a vector, the client's thread maps the spare region and
// makes its pages.  Mapping is the thread's work too, because a process has one lock for its mappings: a program that
// maps waits for pages that are being made.  Measured, with 200 vectors of 1 MiB: 0.38 of the time with a daemon, 0.67
// with a directory; 0.78 and 0.95 while the program mapped the region.
//
// The promises hold for this region as for any other.  It is charged and listed while it exists.  It is asked for as an
// early grow is (see early.c): where an account or the disk would be above 75 %, it is refused without a word, and the
// client does not ask again for a while.  It is given back
//   - by the client's thread, IDLE_MS to twice that after it was made, if no vector has taken it;
//   - before a request of this client is refused, before the client asks for its usage, and when it is closed.
// No other program has it, though it is listed: whoever removes it there by force leaves the next vector a region whose
// calls are -ESTALE.  After a fork the parent gives it back, and the child unmaps
// it at once, so that no child keeps it alive.
//
// The region holds a reference to the client.  So diskalloc_close gives the region back first, and waits for the
// thread: the thread must not be the one that frees the client.
#include <errno.h>

#include "client/diskalloc.h"
#include "client/region/region_internal.h"
#include "client/util/children.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

#define LEAST ((uint64_t)256 << 10) // bytes; the pages of a smaller vector cost less than handing them over
#define LARGE ((uint64_t)8 << 20)   // bytes that a client makes in a row before it has a spare region, and a thread

enum {
    ROW_MS = 20,       // the next vector of a row comes within that time
    IDLE_MS = 50,      // then a spare region is given back
    AFTER_REFUSAL = 64 // vectors that the client makes before it asks again
};

// Takes the region out.  NULL: there is none.
static struct diskalloc_region *take_out(struct diskalloc *da)
{
    struct diskalloc_region *r;

    pthread_mutex_lock(&da->spare.lock);
    r = da->spare.region;
    da->spare.region = NULL;
    pthread_mutex_unlock(&da->spare.lock);
    // The thread may be mapping it.
    if (r)
        background_cancel(&da->background, &da->spare.make);
    return r;
}

// On the client's thread.  The region stays until this has returned: see take_out.
static enum background_result make(struct background_task *t)
{
    struct spare *s = container_of(t, struct spare, make);
    struct diskalloc_region *r;

    pthread_mutex_lock(&s->lock);
    r = s->region;
    pthread_mutex_unlock(&s->lock);
    if (r && !r->mapping.base && region_finish_early(r) == 0)
        prefetch_begin(&r->prefetch, r->size);
    error_forget();
    return BACKGROUND_DONE;
}

// For client_drop_spare.
static bool drop(struct diskalloc *da)
{
    struct diskalloc_region *r = take_out(da);

    if (!r)
        return false;
    region_close(r);
    return true;
}

// On the client's thread.
static enum background_result look_idle(struct background_task *t)
{
    struct spare *s = container_of(t, struct spare, idle);
    struct diskalloc_region *r = NULL;
    uint64_t until;
    bool more;

    pthread_mutex_lock(&s->lock);
    until = s->since + IDLE_MS;
    if (s->region && clock_left(until) == 0) {
        r = s->region;
        s->region = NULL;
    }
    more = s->region || clock_left(s->last + IDLE_MS) > 0;
    s->watched = more;
    t->pause_ms = IDLE_MS;
    pthread_mutex_unlock(&s->lock);
    if (r)
        region_close(r);
    return more ? BACKGROUND_LATER : BACKGROUND_DONE;
}

// In the child the memory goes at once, and the rest of the region with the next call.
static void forked(struct diskalloc *da)
{
    struct spare *s = &da->spare;

    s->making = s->watched = false;
    s->in_row = 0;
    if (!s->region)
        return;
    mapping_deinit(&s->region->mapping);
    descriptor_close(&s->region->backing->file);
}

struct diskalloc_region *region_take_spare(struct diskalloc *da, uint64_t size)
{
    struct diskalloc_region *r = take_out(da);

    if (!r)
        return NULL;
    if (!r->mapping.base && !region_is_inherited(r) && r->size == 0)
        region_finish_early(r);
    error_forget();
    if (r->size == size && !region_is_inherited(r) && !children_were_made(&r->shared))
        return r;
    region_close(r);
    return NULL;
}

// True: the thread is to make the next one, and no other does so meanwhile.
static bool begin(struct spare *s, uint64_t size)
{
    uint64_t now = clock_now();
    bool may;

    pthread_mutex_lock(&s->lock);
    s->in_row = now - s->last <= ROW_MS ? s->in_row + 1 : 0;
    s->last = now;
    may = s->in_row >= (int)(LARGE / size) && !s->region && !s->making;
    s->making |= may;
    if (!s->drop) { // written once: the thread reads run without the lock
        s->drop = drop;
        s->forked = forked;
        s->idle.run = look_idle;
        s->make.run = make;
    }
    pthread_mutex_unlock(&s->lock);
    return may;
}

// R may be NULL.
static void end(struct diskalloc *da, struct diskalloc_region *r)
{
    struct spare *s = &da->spare;
    bool watch;

    pthread_mutex_lock(&s->lock);
    s->making = false;
    s->region = r;
    s->since = clock_now();
    if (!r)
        s->in_row = -AFTER_REFUSAL;
    watch = r && !s->watched;
    s->watched |= watch;
    pthread_mutex_unlock(&s->lock);
    if (r)
        background_submit(&da->background, &s->make);
    if (watch)
        background_submit(&da->background, &s->idle);
}

void region_make_spare(struct diskalloc *da, uint64_t size)
{
    struct spare *s = &da->spare;
    struct diskalloc_region *r = NULL;

    if (size < LEAST || !da->threads || !begin(s, size))
        return;
    if (background_start(&da->background))
        region_begin_early(da, size, &r);
    error_forget();
    end(da, r);
}
