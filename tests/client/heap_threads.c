// Several threads use one heap, end, and free what others allocated; a program that uses a heap forks.  With a daemon
// and embedded.
#include "tests/lib/heap_blocks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { THREADS = 4, SHARED = 256, STEPS = SANITIZED ? 20000 : 200000 };

struct work {
    struct diskalloc_heap *h;
    _Atomic(char *) *slots; // shared by all threads
    unsigned seed;
    pthread_t thread;
};

// Each slot is taken by exchange: whoever has a block checks and frees it.
static void *exchange_blocks(void *data)
{
    struct work *w = data;
    uint64_t random = w->seed;

    for (size_t i = 0; i < STEPS; i++) {
        size_t size;
        char *p, *old;

        random = random * 6364136223846793005 + 1442695040888963407;
        size = (random >> 32) % 200 ? 2 + (random >> 40) % 700 : 2 + (random >> 40) % 200000;
        p = diskalloc_heap_malloc(w->h, size);
        assert_non_null(p);
        p[0] = p[1] = (char)i;
        old = atomic_exchange(&w->slots[(random >> 33) % SHARED], p);
        if (old)
            assert_int_equal(old[0], old[1]);
        diskalloc_heap_free(w->h, old);
    }
    return NULL;
}

static void threads_free_what_others_allocated(struct test_backend *b)
{
    static _Atomic(char *) slots[SHARED];
    struct diskalloc_heap *h = open_heap(b, "threads");
    struct work work[THREADS];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < THREADS; i++) {
            work[i] = (struct work){.h = h, .slots = slots, .seed = round * THREADS + i + 1};
            assert_int_equal(pthread_create(&work[i].thread, NULL, exchange_blocks, &work[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(work[i].thread, NULL);
    }
    for (size_t i = 0; i < SHARED; i++)
        diskalloc_heap_free(h, atomic_exchange(&slots[i], NULL));
    diskalloc_heap_close(h);
    // What the threads had kept is free: the heap has given all back.
    h = open_heap(b, "threads");
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "threads"), 0);
}
FOR_EACH_BACKEND(threads_free_what_others_allocated)

static void *allocate_and_end(void *data)
{
    struct work *w = data;
    void *blocks[100];

    for (size_t i = 0; i < 100; i++)
        blocks[i] = diskalloc_heap_malloc(w->h, 1000);
    for (size_t i = 0; i < 100; i++)
        diskalloc_heap_free(w->h, blocks[i]);
    return blocks[99];
}

static void the_blocks_of_threads_that_ended_are_used_again(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;
    char *most = NULL, *base;

    assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
    base = diskalloc_heap_base(h);
    for (unsigned i = 0; i < 300; i++) {
        struct work w = {.h = h};
        void *last = NULL;

        assert_int_equal(pthread_create(&w.thread, NULL, allocate_and_end, &w), 0);
        pthread_join(w.thread, &last);
        most = (char *)last > most ? last : most;
    }
    assert_true(most < base + MIB);
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(the_blocks_of_threads_that_ended_are_used_again)

// The threads end only after the heaps they used were closed, and use others in between.
static pthread_barrier_t barrier;

static void *use_many_heaps(void *data)
{
    struct diskalloc_heap **heap = data;

    for (unsigned i = 0; i < 20; i++) {
        pthread_barrier_wait(&barrier);
        for (size_t size = 1; size < 5000; size += 100)
            assert_non_null(diskalloc_heap_malloc(*heap, size));
        pthread_barrier_wait(&barrier);
    }
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void heaps_are_closed_while_threads_live(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;
    pthread_t threads[3];

    pthread_barrier_init(&barrier, NULL, 4);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_many_heaps, &h), 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        diskalloc_heap_close(h);
    }
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
}
FOR_EACH_BACKEND(heaps_are_closed_while_threads_live)

struct inherited {
    struct test_backend *b;
    struct diskalloc_heap *h;
    char *block;
};

static void use_what_was_inherited(void *data)
{
    struct inherited *i = data;
    struct diskalloc_heap *own = NULL;
    char *p;

    assert_string_equal(i->block, "of the parent");
    strcpy(i->block, "of the child");
    errno = 0;
    assert_null(diskalloc_heap_malloc(i->h, 100));
    assert_int_equal(errno, EBUSY);
    errno = 0;
    assert_null(diskalloc_heap_malloc(i->h, 1000000));
    assert_int_equal(errno, EBUSY);
    assert_null(diskalloc_heap_realloc(i->h, i->block, 100000));
    assert_int_equal(diskalloc_heap_set_root(i->h, i->block), -EBUSY);
    assert_int_equal(diskalloc_heap_usable_size(i->h, i->block), 32);
    diskalloc_heap_free(i->h, i->block);
    assert_int_equal(diskalloc_heap_new(i->b->da, &own), 0);
    p = diskalloc_heap_malloc(own, 100);
    assert_non_null(p);
    diskalloc_heap_close(i->h);
    strcpy(p, "own");
    diskalloc_heap_free(own, p);
    diskalloc_heap_close(own);
    _exit(0);
}

static void a_child_reads_and_writes_what_it_inherited_and_no_more(struct test_backend *b)
{
    struct inherited i = {.b = b, .h = open_heap(b, "fork")};
    void *others[100];
    int e;

    i.block = diskalloc_heap_malloc(i.h, 32);
    strcpy(i.block, "of the parent");
    assert_int_equal(test_in_child(use_what_was_inherited, &i, (uid_t)-1), 0);
    assert_string_equal(i.block, "of the child");
    for (size_t n = 0; n < 100; n++) {
        others[n] = diskalloc_heap_malloc(i.h, 32);
        assert_non_null(others[n]);
        assert_ptr_not_equal(others[n], i.block);
    }
    // The child has closed the heap, and it is locked all the same.
    assert_null(try_open_heap(b, "fork", 0, &e));
    assert_int_equal(e, -EBUSY);
    for (size_t n = 0; n < 100; n++)
        diskalloc_heap_free(i.h, others[n]);
    diskalloc_heap_free(i.h, i.block);
    diskalloc_heap_close(i.h);
    assert_int_equal(diskalloc_region_unlink(b->da, "fork"), 0);
}
FOR_EACH_BACKEND(a_child_reads_and_writes_what_it_inherited_and_no_more)

static void fork_and_wait(void *data)
{
    (void)data;
    _exit(0);
}

static atomic_bool stop;

static void *allocate_until_stopped(void *data)
{
    while (!atomic_load(&stop))
        diskalloc_heap_free(data, diskalloc_heap_malloc(data, 100000));
    return NULL;
}

static void a_program_forks_while_its_threads_allocate(struct test_backend *b)
{
    struct diskalloc_heap *h = open_heap(b, "busy");
    pthread_t threads[2];

    atomic_store(&stop, false);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_until_stopped, h), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(test_in_child(fork_and_wait, NULL, (uid_t)-1), 0);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "busy"), 0);
}
FOR_EACH_BACKEND(a_program_forks_while_its_threads_allocate)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(threads_free_what_others_allocated),
        EACH_BACKEND(the_blocks_of_threads_that_ended_are_used_again),
        EACH_BACKEND(heaps_are_closed_while_threads_live),
        EACH_BACKEND(a_child_reads_and_writes_what_it_inherited_and_no_more),
        EACH_BACKEND(a_program_forks_while_its_threads_allocate),
    };

    return cmocka_run_group_tests_name("heap_threads", tests, NULL, NULL);
}
