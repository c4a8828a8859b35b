// Scenes with threads, and with libraries that are loaded meanwhile: see allocator.h.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/preload/allocator.h"

enum { THREADS = 8, ROUNDS = 25, SLOTS = 32 };

// Blocks that one thread allocates and another one frees.
static _Atomic(char *) slots[SLOTS];

static void *exchange(void *data)
{
    unsigned seed = (unsigned)(size_t)data + 1;

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size = (32 + (i * seed) % 4) * MIB;
        char *a = i % 2 ? malloc(size) : calloc(1, size), *other;

        CHECK(a && (i % 2 || is_zero(a, MIB)));
        fill(a, MIB / 4, 5);
        fill(a + size - MIB / 4, MIB / 4, 6);
        other = atomic_exchange(&slots[(i * 7 + seed) % SLOTS], a);
        if (!other)
            continue;
        CHECK(is_filled(other, MIB / 4, 5));
        if (i % 3 == 0) {
            other = realloc(other, 40 * MIB);
            CHECK(is_filled(other, MIB / 4, 5));
        }
        free(other);
    }
    return NULL;
}

static void *exchange_small(void *data)
{
    unsigned seed = (unsigned)(size_t)data + 1;

    for (unsigned i = 0; i < ROUNDS * 4000; i++) {
        size_t size = 16 + (i * seed * 8) % 3000 / 8 * 8;
        char *a = malloc(size), *other;

        CHECK(a);
        memset(a, (int)(i & 0xff), size);
        other = atomic_exchange(&slots[(i * 7 + seed) % SLOTS], a);
        free(other);
    }
    return NULL;
}

static void run_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SLOTS; i++)
        free(atomic_exchange(&slots[i], NULL));
}

void play_threads(void)
{
    run_threads(exchange);
    run_threads(exchange_small);
}

static void *load(void *data)
{
    for (int i = 0; i < 20; i++) {
        void *library = dlopen("libm.so.6", RTLD_NOW), *other = dlopen("libz.so.1", RTLD_NOW);

        CHECK(library && dlsym(library, "cos"));
        CHECK(!dlopen("nosuch.so", RTLD_NOW) && dlerror());
        dlclose(library);
        if (other)
            dlclose(other);
    }
    return data;
}

void play_dlopen(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, load, NULL) == 0);
    run_threads(exchange);
    pthread_join(thread, NULL);
}

static void *allocate_for_ever(void *data)
{
    for (;;) {
        char *a = malloc(33 * MIB), *b = malloc(40);

        a[0] = b[0] = 1;
        a = realloc(a, 35 * MIB);
        free(a);
        free(b);
        pthread_testcancel();
    }
    return data;
}

void play_cancel(void)
{
    struct timespec moment = {.tv_nsec = 300000};
    pthread_t thread;
    void *result;

    for (int i = 0; i < 50; i++) {
        CHECK(pthread_create(&thread, NULL, allocate_for_ever, NULL) == 0);
        nanosleep(&moment, NULL);
        CHECK(pthread_cancel(thread) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
        free(malloc(33 * MIB)); // no lock was left
    }
}
