// Announced reads: the program says which bytes it is about to read, and the disk reads them side by side.
//
// The kernel takes such hints as MADV_WILLNEED, which asks the disk and does not wait for it.  Only when the disk's
// queue is full (256 requests are usual) does the call wait for room.  So the calling thread asks for the pieces
// itself until it had to wait, and hands the rest over to the client's thread, which may wait.  Where there is no
// thread, the call itself waits.  If more waits than the ring has room for, the rest is dropped: a page that was not
// read ahead is read when it is touched.
//
// Pieces are not handed over earlier, because that was slower; probably since the other thread's processor has to be
// told of each page that the kernel takes away.  Under a hypervisor without hardware page tables (PVM), in batches
// of 1024: 20,200 reads a second (19,600 to 20,900) if all pieces but 128 are handed over, 23,300 (23,300 to 24,100)
// otherwise; 24,500 by calls of madvise and no second thread at all.
//
// A call of process_madvise(2) passes many pieces.  The kernel allows that for the process's own memory without a
// privilege, and without a descriptor (PIDFD_SELF), since some version above 6.12; before, there is a call a piece.
// Measured (Linux 6.18, ext4, random reads of 4 KiB, 4 GiB in a group of 512 MiB, reads a second): batches of 64, one
// announced while the one before is used: madvise a piece 102,900, process_madvise 105,900, posix_fadvise on the file
// 106,300.  Batches of 1024: 100,600, 101,900 and 98,000.  The file's descriptor would have to be kept open for the
// last; io_uring passes such hints to kernel threads, and many containers forbid it.  fio with io_uring: 81,000 at
// depth 32, 89,000 at depth 128.
//
// A piece is at most 128 KiB, because the kernel cuts larger ones to the disk's read_ahead_kb.
//
// Threads: any thread of the program calls announce; the client's thread runs the task.  The lock is held for moments
// only, and no other lock but the background's is taken under it.
#include "client/memory/announce.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "client/memory/advice.h"
#include "proto/util/checked.h"
#include "proto/util/container.h"
#include "proto/util/page.h"

enum {
    BATCH = 64,   // pieces of a system call
    ROOM = 32768, // ranges that may wait
    PIECE = 128 * 1024,
};

struct span {
    uint64_t from, to; // whole pages
};

struct announce_ring {
    size_t first, n; // the spans that wait: n of them from first on, round the end
    struct span spans[ROOM];
};

struct batch {
    const struct mapping *mapping;
    struct iovec pieces[BATCH];
    size_t n;
};

static void send(struct batch *b)
{
    advice_read_ahead(b->pieces, b->n);
    b->n = 0;
}

// Moves pieces from the beginning of S into the batch, and sends the batch each time when it is full, MOST pieces at
// most.  Returns how many pieces were moved.
static size_t move(struct batch *b, struct span *s, size_t most)
{
    size_t n = 0;

    for (; n < most && s->from < s->to; n++) {
        uint64_t to = u64_min(s->to, s->from + PIECE);

        b->pieces[b->n++] = (struct iovec){b->mapping->base + s->from, to - s->from};
        s->from = to;
        if (b->n == BATCH)
            send(b);
    }
    return n;
}

static size_t take_from_ring(struct announce *a, struct batch *b)
{
    struct announce_ring *ring = a->ring;
    size_t n = 0;

    while (ring->n > 0 && n < BATCH - 1) {
        struct span *s = &ring->spans[ring->first];

        n += move(b, s, BATCH - 1 - n);
        if (s->from < s->to)
            continue;
        ring->first = (ring->first + 1) % ROOM;
        ring->n--;
    }
    return ring->n;
}

static enum background_result run(struct background_task *t)
{
    struct announce *a = container_of(t, struct announce, task);
    struct batch b = {.mapping = a->mapping};
    size_t left;

    pthread_mutex_lock(&a->lock);
    left = take_from_ring(a, &b);
    pthread_mutex_unlock(&a->lock);
    send(&b);
    return left > 0 ? BACKGROUND_MORE : BACKGROUND_DONE;
}

void announce_init(struct announce *a, struct background *background, const struct mapping *mapping)
{
    *a = (struct announce){.task.run = run, .background = background, .mapping = mapping};
    pthread_mutex_init(&a->lock, NULL);
}

void announce_deinit(struct announce *a)
{
    if (a->background)
        background_cancel(a->background, &a->task);
    pthread_mutex_destroy(&a->lock);
    free(a->ring);
}

static struct span span_of(const struct announce_places *places, size_t i)
{
    uint64_t from = places->at[i] * places->unit;

    return (struct span){align_down(from, page_size()), align_up(from + places->length, page_size())};
}

// Called with the lock held.  False: there is no room for S.
static bool keep(struct announce *a, const struct span *s)
{
    struct announce_ring *ring = a->ring;

    if (ring->n == ROOM)
        return false;
    ring->spans[(ring->first + ring->n++) % ROOM] = *s;
    return true;
}

// The memory of the ring is touched as far as it is used.
static bool make_ring(struct announce *a)
{
    if (!a->ring) {
        a->ring = malloc(sizeof *a->ring);
        if (a->ring)
            a->ring->first = a->ring->n = 0;
    }
    return a->ring != NULL;
}

// FIRST is left of place I, which was begun.
static void hand_over(struct announce *a, const struct announce_places *places, size_t i, struct span first)
{
    bool has_ring;

    pthread_mutex_lock(&a->lock);
    has_ring = make_ring(a);
    if (has_ring) {
        bool room = first.from >= first.to || keep(a, &first);

        while (room && ++i < places->n) {
            struct span s = span_of(places, i);

            room = keep(a, &s);
        }
    }
    pthread_mutex_unlock(&a->lock);
    if (has_ring)
        background_submit(a->background, &a->task);
}

// How often the calling thread has waited for anything.
static long count_waits(void)
{
    struct rusage used;

    return getrusage(RUSAGE_THREAD, &used) == 0 ? used.ru_nvcsw : 0;
}

void announce(struct announce *a, const struct announce_places *places)
{
    struct batch b = {.mapping = a->mapping};
    long n_waits = LONG_MAX; // after the first system call it is not known how many there were before

    for (size_t i = 0; i < places->n; i++) {
        struct span s = span_of(places, i);

        while (s.from < s.to) {
            long before = n_waits;

            move(&b, &s, BATCH - b.n);
            if (b.n > 0 || (s.from == s.to && i + 1 == places->n))
                continue;
            n_waits = count_waits();
            if (n_waits > before && a->background && background_start(a->background)) {
                hand_over(a, places, i, s);
                return;
            }
        }
    }
    send(&b);
}

// The parent's thread may have held the lock, and may have been changing the ring.
void announce_forked(struct announce *a)
{
    a->background = NULL;
    pthread_mutex_init(&a->lock, NULL);
}
