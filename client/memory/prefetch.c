// Making pages ahead of a vector.
//
// The first store to a page of a file costs more than the rest of the push: the kernel makes the page, fills it with
// zeros, and notes it in the file system.  So a vector does not get all of its capacity at once, but *windows* of
// it.  At the end of each window it calls prefetch_open, and so tells how far it has come.  (The vector's own fields
// are the program's, which may move them: they can't be looked at.)
//
//   - The pages of the next window are made by one call (MADV_POPULATE_WRITE) instead of one fault a page.
//   - The first window of a vector that begins with the size that the client's last vectors reached (client/growth.c)
//     is all of that size: such a vector is made by one call.
//   - For large vectors, the client's thread makes pages ahead, in pieces of 2 MiB (one entry of the page table), never
//     beyond the size.  It goes 4 MiB ahead, and twice as far whenever the vector arrives before its window is made; 32
//     MiB and a quarter of the vector at most.  The thread that is free first takes the next piece, so both processors
//     make pages if that is the limit.  The program does not wait: while the piece that it is about to fill is being
//     made, it makes another one.
//   - Nothing here can fail: a page that was not made is made when it is touched.
//
// Measured (Linux 6.18, ext4, two processors, 1 GiB): 32 MiB ahead 0.250 s, 16 MiB 0.253 s, without 0.39 s.
//
// Making pages fails, and does no harm, where access was taken away meanwhile (EINVAL, EFAULT, ENOMEM), and where a
// file system that can't promise space has none (EFAULT; a store would be SIGBUS).  A region must not have pages
// behind its end or in its discarded parts: before the end moves down or the mapping goes, prefetch_cut waits for the
// piece in progress.
//
// Threads: prefetch_open and prefetch_cut are called by the program's threads, run by the client's thread.  Locks:
// the struct has a lock of its own, under which only the lock of the background is taken.
#include "client/memory/prefetch.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/memory/mapping.h"
#include "proto/util/checked.h"
#include "proto/util/container.h"
#include "proto/util/page.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

#define PIECE (2 * MIB)
#define SMALLEST_WINDOW (16 * KIB)
#define LARGE (8 * MIB) // for smaller vectors a thread costs more than it saves
#define AHEAD_FIRST (4 * MIB)

static bool possible;

static void find_out(void)
{
    const char *wish = getenv("DISKALLOC_PREFETCH");
    void *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    // MADV_POPULATE_WRITE came with Linux 5.14.
    possible = madvise(page, page_size(), MADV_POPULATE_WRITE) == 0 && !(wish && strcmp(wish, "0") == 0);
    munmap(page, page_size());
}

bool prefetch_is_possible(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_out);
    return possible;
}

struct piece {
    uint64_t from, to;
};

// Takes the next piece before END, a whole one if possible.  Called with the lock held.  False: there is none.
static bool claim(struct prefetch *p, uint64_t end, struct piece *ret)
{
    if (p->claimed >= end)
        return false;
    *ret = (struct piece){p->claimed, u64_min((p->claimed / PIECE + 1) * PIECE, end)};
    p->claimed = ret->to;
    return true;
}

// Called with the lock held, which is given up meanwhile.
static void make(struct prefetch *p, const struct piece *piece)
{
    int r;

    pthread_mutex_unlock(&p->lock);
    r = mapping_populate(p->mapping, piece->from, piece->to);
    pthread_mutex_lock(&p->lock);
    // Pages that can't be made now are made when they are touched.
    if (r < 0)
        p->want = 0;
}

static enum background_result run(struct background_task *t)
{
    struct prefetch *p = container_of(t, struct prefetch, task);
    struct piece piece;
    bool more;

    pthread_mutex_lock(&p->lock);
    if (claim(p, p->want, &piece)) {
        p->busy_from = piece.from;
        p->busy_to = piece.to;
        make(p, &piece);
        p->busy_from = p->busy_to = 0;
    }
    more = p->claimed < p->want;
    pthread_mutex_unlock(&p->lock);
    return more ? BACKGROUND_MORE : BACKGROUND_DONE;
}

void prefetch_init(struct prefetch *p, struct background *background, const struct mapping *mapping)
{
    *p = (struct prefetch){
        .task.run = run,
        .background = background,
        .mapping = mapping,
        .ahead = AHEAD_FIRST,
        .off = !prefetch_is_possible(),
    };
    pthread_mutex_init(&p->lock, NULL);
}

void prefetch_deinit(struct prefetch *p)
{
    prefetch_cut(p, 0);
    pthread_mutex_destroy(&p->lock);
}

static uint64_t window_of(uint64_t at)
{
    uint64_t window = u64_max(SMALLEST_WINDOW, page_size());

    while (window < PIECE && window * 4 <= at)
        window *= 2;
    return window;
}

// Called with the lock held.  While the thread makes a piece of this window, the program makes another one.
static void make_window(struct prefetch *p, uint64_t from, uint64_t end)
{
    struct piece piece;

    while (claim(p, end, &piece))
        make(p, &piece);
    while (p->busy_to > from && p->busy_from < end && claim(p, p->want, &piece))
        make(p, &piece);
}

// A vector that asks for much at once may fill it in any order, or not at all.
bool prefetch_is_one_by_one(uint64_t from, uint64_t needed)
{
    return needed - from <= PIECE;
}

void prefetch_begin(struct prefetch *p, uint64_t end)
{
    if (p->off || !p->background)
        return;
    pthread_mutex_lock(&p->lock);
    p->want = end;
    background_submit(p->background, &p->task);
    pthread_mutex_unlock(&p->lock);
}

// Making a page takes twice as long as copying to it, so the program is a quarter of the way when it comes to the first
// page that the thread has made, and both are at the end at the same time (measured: 51, 24 and 77 ms for making,
// copying, and both, of 256 MiB).
void prefetch_fill(struct prefetch *p, uint64_t from, uint64_t to)
{
    if (p->off || to - from < LARGE || !p->background || !background_start(p->background))
        return;
    pthread_mutex_lock(&p->lock);
    p->claimed = u64_max(p->claimed, align_up(from + (to - from) / 4, PIECE));
    p->want = to;
    if (p->claimed < p->want)
        background_submit(p->background, &p->task);
    pthread_mutex_unlock(&p->lock);
}

uint64_t prefetch_open(struct prefetch *p, uint64_t from, uint64_t needed, uint64_t size, uint64_t ahead_max)
{
    uint64_t window = window_of(needed), end = u64_min((needed + window - 1) / window * window, size);
    bool helped;

    if (p->off || !prefetch_is_one_by_one(from, needed))
        return size;
    end = u64_max(end, u64_min(p->first, size));
    helped = size >= LARGE && p->background && background_start(p->background);
    pthread_mutex_lock(&p->lock);
    // Pages before FROM were filled already, by a push that did not come through here.
    p->claimed = u64_max(p->claimed, from);
    // The vector arrived before its window was made.
    if (p->claimed < end)
        p->ahead *= 2;
    p->ahead = u64_min(p->ahead, ahead_max);
    p->want = helped ? u64_min(end + u64_min(end / 4, p->ahead), size) : 0;
    if (p->claimed < p->want)
        background_submit(p->background, &p->task);
    make_window(p, from, end);
    pthread_mutex_unlock(&p->lock);
    return end;
}

uint64_t prefetch_end(struct prefetch *p)
{
    uint64_t end;

    pthread_mutex_lock(&p->lock);
    end = u64_max(p->claimed, p->want);
    pthread_mutex_unlock(&p->lock);
    return end;
}

void prefetch_cut(struct prefetch *p, uint64_t end)
{
    if (p->background)
        background_cancel(p->background, &p->task);
    pthread_mutex_lock(&p->lock);
    p->claimed = u64_min(p->claimed, end);
    p->want = 0;
    pthread_mutex_unlock(&p->lock);
}

void prefetch_avoid(struct prefetch *p, uint64_t from, uint64_t to)
{
    bool behind;

    pthread_mutex_lock(&p->lock);
    behind = p->claimed >= to && (p->busy_from >= to || p->busy_to <= from);
    pthread_mutex_unlock(&p->lock);
    if (!behind)
        prefetch_cut(p, from);
}

void prefetch_forked(struct prefetch *p)
{
    p->background = NULL;
    p->want = p->busy_from = p->busy_to = 0;
    pthread_mutex_init(&p->lock, NULL);
}
