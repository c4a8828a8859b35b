// See opened.h.
#include "client/preload/opened.h"

#include <pthread.h>
#include <stdatomic.h>

#include "proto/util/clock.h"

enum {
    RECONNECT_MS = 30000, // a program waits that long for its daemon, and goes on in memory then
    OPEN_AGAIN_MS = 5000,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct diskalloc *) client;
static const char *address = "";
static void (*told_of)(void);
static uint64_t not_before;
static int error;

void opened_begin(const char *given, void (*told)(void))
{
    address = given;
    told_of = told;
}

static int open_now(void)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da;

    if (error < 0 && clock_now() < not_before)
        return error;
    o.reconnect_timeout_ms = RECONNECT_MS;
    error = diskalloc_open(*address ? address : NULL, &o, &da);
    if (error < 0) {
        not_before = clock_after(OPEN_AGAIN_MS);
        return error;
    }
    if (told_of)
        told_of();
    atomic_store(&client, da);
    return 0;
}

int opened_get(struct diskalloc **ret)
{
    int e = 0;

    *ret = atomic_load_explicit(&client, memory_order_acquire);
    if (*ret)
        return 0;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&client))
        e = open_now();
    *ret = atomic_load(&client);
    pthread_mutex_unlock(&lock);
    return e;
}

struct diskalloc *opened_already(void)
{
    return atomic_load(&client);
}

void opened_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
