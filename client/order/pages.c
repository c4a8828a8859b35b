// Reading ahead and writing behind, for a sort that is larger than memory.
//
// A sort knows which bytes it needs next and the kernel does not.  A thread touches them ahead of the sort, in pieces
// of 2 MiB (one large page), as stores would (MADV_POPULATE_WRITE): the sort writes to each page that it reads, and a
// page that is only readable would cost it a fault for each 4 KiB.  The same thread sends what was written to the disk
// (sync_file_range), because the kernel begins late, and a page must be clean before its memory can be used again.
//
// All of that is a hint.  Where there is no thread, the kernel is asked to read (MADV_WILLNEED) without waiting for it.
// Where many requests wait already, more are dropped.
#include "client/order/pages.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client/memory/advice.h"
#include "client/memory/mapping.h"
#include "proto/util/checked.h"
#include "proto/util/thread.h"

enum { REQUESTS_MAX = 1024 };
#define PIECE ((uint64_t)2 << 20)

struct request {
    uint64_t from, to; // bytes from the mapping's base
    bool write;
};

struct pages {
    const struct mapping *mapping;
    int fd;
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock; // of all below
    pthread_cond_t more;  // signalled: there is a request, or the thread has to end
    struct request requests[REQUESTS_MAX];
    size_t first, n; // the oldest request, and how many there are
    bool stopping;
};

static void carry_out(const struct pages *p, const struct request *q)
{
    if (q->write)
        sync_file_range(p->fd, (off_t)q->from, (off_t)(q->to - q->from), SYNC_FILE_RANGE_WRITE);
    else
        mapping_populate(p->mapping, q->from, q->to);
}

// Takes the next piece of the oldest request.  With the lock held.
static struct request take(struct pages *p)
{
    struct request *oldest = &p->requests[p->first], piece = *oldest;

    piece.to = u64_min(piece.to, (piece.from / PIECE + 1) * PIECE);
    oldest->from = piece.to;
    if (oldest->from >= oldest->to) {
        p->first = (p->first + 1) % REQUESTS_MAX;
        p->n--;
    }
    return piece;
}

static void *run_thread(void *data)
{
    struct pages *p = data;
    struct request piece;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (p->n == 0) {
            pthread_cond_wait(&p->more, &p->lock);
            continue;
        }
        piece = take(p);
        pthread_mutex_unlock(&p->lock);
        carry_out(p, &piece);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pages *pages_new(const struct mapping *mapping, int fd, bool thread)
{
    struct pages *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->mapping = mapping;
    p->fd = fd;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->has_thread = thread && thread_start(&p->thread, 0, run_thread, p) == 0;
    return p;
}

void pages_free(struct pages *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->more);
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void ask(struct pages *p, const struct request *q)
{
    pthread_mutex_lock(&p->lock);
    if (p->n < REQUESTS_MAX)
        p->requests[(p->first + p->n++) % REQUESTS_MAX] = *q;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->more);
}

static struct request request_of(const struct pages *p, const char *at, size_t length)
{
    uint64_t from = (uint64_t)(at - p->mapping->base);

    return (struct request){.from = from, .to = from + length};
}

void pages_announce(struct pages *p, const char *at, size_t length)
{
    struct request q;

    if (!p || length == 0)
        return;
    q = request_of(p, at, length);
    if (p->has_thread)
        ask(p, &q);
    else
        advice_give(p->mapping, q.from, q.to, MADV_WILLNEED);
}

void pages_need(struct pages *p, const char *at, size_t length)
{
    struct request q;

    if (!p || length == 0)
        return;
    q = request_of(p, at, length);
    carry_out(p, &q);
}

void pages_release(struct pages *p, const char *at, size_t length)
{
    struct request q;

    if (!p || p->fd < 0 || length == 0)
        return;
    q = request_of(p, at, length);
    q.write = true;
    if (p->has_thread)
        ask(p, &q);
    else
        carry_out(p, &q);
}
