// See cache.h.
//
// A thread finds its cache by the heap's id, which is never used twice: what a thread remembers of a heap that was
// closed fits no other heap, also when that lies at the same address.  In a forked child each heap gets a new id, so
// that no thread's cache fits it.
//
// Caches are made from mmap.  The one call here that can allocate is pthread_setspecific, in a program with more than
// 32 keys: it is made without a lock, and after the thread's cache can be found, so that malloc may come back here.
#include "client/heap/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "client/util/error.h"

_Thread_local struct cache_recent cache_recent;
static _Thread_local struct cache *mine; // of all heaps that this thread has used

// With the fork lock.
static struct cache *unused;
static uint64_t last_id;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

uint64_t cache_new_id(void)
{
    return ++last_id;
}

_Noreturn void cache_complain(const void *block)
{
    fprintf(stderr, "diskalloc_heap_free: %p is no block of this heap, or was freed before\n", block);
    abort();
}

// With the heap's lock.
static void put(struct diskalloc_heap *h, struct magazine *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!slabs_put(h, m->blocks[i]))
            cache_complain(m->blocks[i]);
    for (unsigned i = n; i < m->n; i++)
        m->blocks[i - n] = m->blocks[i];
    m->n = (uint16_t)(m->n - n);
}

// With the heap's lock, or when nobody else uses the heap.
static void put_all(struct diskalloc_heap *h, struct cache *cache)
{
    for (unsigned c = 0; c < CLASS_N; c++)
        put(h, &cache->magazines[c], cache->magazines[c].n);
}

static void remove_of_heap(struct diskalloc_heap *h, struct cache *cache)
{
    struct cache **at = &h->caches;

    while (*at != cache)
        at = &(*at)->next_of_heap;
    *at = cache->next_of_heap;
    cache->heap = NULL;
}

// A thread ends.  Its heaps may be closed by other threads meanwhile: n_leaving keeps them.
static void leave(void *data)
{
    (void)data;
    cache_recent = (struct cache_recent){0};
    fork_lock();
    while (mine) {
        struct cache *cache = mine;
        struct diskalloc_heap *h = cache->heap;

        if (h && !h->inherited) {
            h->n_leaving++;
            fork_unlock();
            pthread_mutex_lock(&h->lock);
            put_all(h, cache);
            pthread_mutex_unlock(&h->lock);
            fork_lock();
            remove_of_heap(h, cache);
            h->n_leaving--;
        }
        mine = cache->next_of_thread;
        cache->heap = NULL;
        cache->next_of_thread = unused;
        unused = cache;
    }
    fork_unlock();
}

static void make_key(void)
{
    if (pthread_key_create(&key, leave) != 0)
        key = (pthread_key_t)-1;
}

static struct cache *cache_new(void)
{
    size_t bytes = sizeof(struct cache);
    struct cache *cache;
    void **blocks;

    for (unsigned c = 0; c < CLASS_N; c++)
        bytes += class_cached(c) * sizeof *blocks;
    cache = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (cache == MAP_FAILED)
        return NULL;
    blocks = (void **)(cache + 1);
    for (unsigned c = 0; c < CLASS_N; c++) {
        cache->magazines[c].most = (uint16_t)class_cached(c);
        cache->magazines[c].blocks = blocks;
        blocks += class_cached(c);
    }
    return cache;
}

// With the fork lock.  One of this thread's that serves HEAP; NULL: none.
static struct cache *find(const struct diskalloc_heap *heap)
{
    struct cache *cache = mine;

    while (cache && cache->heap != heap)
        cache = cache->next_of_thread;
    return cache;
}

// With the fork lock.
static struct cache *take_unused(void)
{
    struct cache *cache = unused;

    if (cache)
        unused = cache->next_of_thread;
    return cache;
}

// With the fork lock.
static void adopt(struct diskalloc_heap *h, struct cache *cache, bool is_mine)
{
    for (unsigned c = 0; c < CLASS_N; c++)
        cache->magazines[c].n = 0;
    cache->heap = h;
    cache->next_of_heap = h->caches;
    h->caches = cache;
    if (!is_mine) {
        cache->next_of_thread = mine;
        mine = cache;
    }
}

struct cache *cache_of(struct diskalloc_heap *h)
{
    struct cache *cache, *idle;
    bool first = false;

    if (cache_recent.id == h->id)
        return cache_recent.cache;
    fork_lock();
    cache = find(h);
    idle = cache ? NULL : find(NULL);
    if (!cache) {
        first = !mine;
        cache = idle ? idle : take_unused();
        if (!cache) {
            fork_unlock();
            cache = cache_new();
            if (!cache)
                return NULL;
            fork_lock();
        }
        adopt(h, cache, idle != NULL);
    }
    fork_unlock();
    cache_recent = (struct cache_recent){h->id, cache};
    pthread_once(&once, make_key);
    // Without a key the blocks of this thread stay with it until the heap is closed.
    if (first && key != (pthread_key_t)-1)
        pthread_setspecific(key, cache);
    return cache;
}

int cache_fill(struct diskalloc_heap *h, struct cache *cache, unsigned c)
{
    struct magazine *m = &cache->magazines[c];
    void *some[32];
    unsigned want = m->most / 2u, got;
    int e;

    if (want > sizeof some / sizeof *some)
        want = sizeof some / sizeof *some;
    pthread_mutex_lock(&h->lock);
    got = slabs_get(h, c, some, want, &e);
    pthread_mutex_unlock(&h->lock);
    // The lock was released where the region had to grow, and this thread may have freed a block meanwhile (space.c).
    for (unsigned i = got; i-- > 0;) {
        if (m->n == m->most)
            cache_bypass(h, some[i]);
        else
            m->blocks[m->n++] = some[i];
    }
    return m->n > 0 ? 0 : e;
}

void cache_spill(struct diskalloc_heap *h, struct cache *cache, unsigned c)
{
    struct magazine *m = &cache->magazines[c];
    bool plenty;

    pthread_mutex_lock(&h->lock);
    put(h, m, (m->n + 1u) / 2);
    plenty = space_is_plenty(h);
    pthread_mutex_unlock(&h->lock);
    if (plenty)
        space_trim(h);
}

void cache_bypass(struct diskalloc_heap *h, void *block)
{
    bool known, plenty;

    pthread_mutex_lock(&h->lock);
    known = slabs_put(h, block);
    plenty = space_is_plenty(h);
    pthread_mutex_unlock(&h->lock);
    if (!known)
        cache_complain(block);
    if (plenty)
        space_trim(h);
}

void cache_end(struct diskalloc_heap *h, bool inherited)
{
    const struct timespec moment = {.tv_nsec = 100000};

    fork_lock();
    while (h->n_leaving > 0) {
        fork_unlock();
        nanosleep(&moment, NULL);
        fork_lock();
    }
    while (h->caches) {
        struct cache *cache = h->caches;

        if (!inherited)
            put_all(h, cache);
        remove_of_heap(h, cache);
    }
    fork_unlock();
}
