// Sorting on several threads, in place: quicksort, whose parts are shared out.
//
// A large range is split in two; a thread goes on with the left part, and whichever thread is free takes the right one.
// Parts that are small enough are sorted by one thread each.  So the first split is done by one thread alone, the next
// two by two, and so on; of some thirty levels of splits that is one and a half on two threads, two and a quarter on
// eight.  Nothing but the ranges is shared, and no buffer is needed.
//
// The threads live as long as the pool, which is as long as one call of name_sort.  They block all signals, and hold no
// lock while they work, so a fork of the program meanwhile finds nothing half done that the child would miss.
#include "client/order/pool.h"

#include <diskalloc/order.h>
#include <pthread.h>
#include <stdlib.h>

#include "proto/util/thread.h"

enum {
    RANGES_MAX_WAITING = 256,
    PARTS_PER_THREAD = 16,
    LEAST_BYTES = 128 * 1024, // of a part that is worth handing over
    LEVELS_MAX = 40,          // of splits; then one thread sorts what is left, and cares about bad splits
};

struct part {
    char *at;
    size_t n;
    int follows;
    unsigned level;
};

struct pool {
    pthread_mutex_t lock; // of all below
    pthread_cond_t news;  // a part waits; or all is done; or the threads have to end
    struct part waiting[RANGES_MAX_WAITING];
    size_t n_waiting, n_working;
    bool stopping;
    // Written between two sorts:
    const struct diskalloc_order *order;
    size_t grain; // elements: smaller parts are not split any more
    size_t n_threads;
    pthread_t threads[POOL_THREADS_MAX];
};

// False: too many parts wait, and the caller keeps this one.
static bool hand_over(struct pool *p, const struct part *part)
{
    bool taken;

    pthread_mutex_lock(&p->lock);
    taken = p->n_waiting < RANGES_MAX_WAITING;
    if (taken)
        p->waiting[p->n_waiting++] = *part;
    pthread_mutex_unlock(&p->lock);
    if (taken)
        pthread_cond_signal(&p->news);
    return taken;
}

static void work_on(struct pool *p, struct part part)
{
    const struct diskalloc_order *order = p->order;

    while (part.n > p->grain && part.level++ < LEVELS_MAX) {
        struct diskalloc_order_split s = order->split(part.at, part.n, part.follows);
        struct part right = {part.at + (part.n - s.right) * order->element_size, s.right, 1, part.level};

        if (right.n > 0 && !hand_over(p, &right))
            order->sort(right.at, right.n, right.follows);
        part.n = s.left;
    }
    order->sort(part.at, part.n, part.follows);
}

// With the lock held.
static void take_one(struct pool *p)
{
    struct part part = p->waiting[--p->n_waiting];

    p->n_working++;
    pthread_mutex_unlock(&p->lock);
    work_on(p, part);
    pthread_mutex_lock(&p->lock);
    p->n_working--;
    if (p->n_working == 0 && p->n_waiting == 0)
        pthread_cond_broadcast(&p->news);
}

static void *run_thread(void *data)
{
    struct pool *p = data;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (p->n_waiting > 0)
            take_one(p);
        else
            pthread_cond_wait(&p->news, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(size_t n_threads)
{
    struct pool *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    while (p->n_threads < n_threads && p->n_threads < POOL_THREADS_MAX &&
           thread_start(&p->threads[p->n_threads], 0, run_thread, p) == 0)
        p->n_threads++;
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_broadcast(&p->news);
    for (size_t i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->news);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pool_begin(struct pool *p, const struct diskalloc_order *order, void *elements, size_t n)
{
    size_t least = LEAST_BYTES / order->element_size + DISKALLOC_ORDER_FEW;

    if (!p || p->n_threads == 0 || n <= 2 * least) {
        order->sort(elements, n, 0);
        return;
    }
    p->order = order;
    p->grain = n / (PARTS_PER_THREAD * (p->n_threads + 1));
    p->grain = p->grain > least ? p->grain : least;
    hand_over(p, &(struct part){.at = elements, .n = n});
}

void pool_wait(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    while (p->n_waiting > 0 || p->n_working > 0) {
        if (p->n_waiting > 0)
            take_one(p);
        else
            pthread_cond_wait(&p->news, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}
