// The heap against malloc: a trace of small allocations on two threads, and a list of nodes that is pushed, walked
// and dropped.  Prints ratios of medians of alternating runs: more than 1 is faster than malloc.  No test.
//
// bench-heap [ADDRESS]: dir: on $DISKALLOC_TEST_DIR or /var/tmp by default.
#include <diskalloc/heap.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum {
    ROUNDS = 7,
    THREADS = 2,
    SLOTS = 50000,   // blocks of each thread that live at a time
    STEPS = 1000000, // of each thread: a block is freed, another one is allocated
    NODES = 1000000,
};

static struct diskalloc_heap *heap;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *get(bool on_heap, size_t size)
{
    void *block = on_heap ? diskalloc_heap_malloc(heap, size) : malloc(size);

    if (!block)
        exit(1);
    return block;
}

static void put(bool on_heap, void *block)
{
    if (on_heap)
        diskalloc_heap_free(heap, block);
    else
        free(block);
}

// Sizes as programs of many small objects have them: half of them up to 64 bytes, one in 20 above 1 KiB.
static size_t size_of(uint64_t random)
{
    unsigned kind = (unsigned)(random % 100);

    random >>= 8;
    if (kind < 50)
        return 8 + random % 57;
    if (kind < 80)
        return 64 + random % 193;
    if (kind < 95)
        return 256 + random % 769;
    return 1024 + random % 7169;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct worker {
    pthread_t thread;
    uint64_t seed;
    bool on_heap;
};

// Most blocks live shortly: of four steps, three are about the last few blocks.
static void *work(void *data)
{
    struct worker *w = data;
    char **slots = calloc(SLOTS, sizeof *slots);
    uint64_t state = w->seed;

    if (!slots)
        exit(1);
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t random = next_random(&state);
        size_t at = random % 4 ? (i + (random >> 8) % 64) % SLOTS : (random >> 8) % SLOTS, size = size_of(random >> 24);

        put(w->on_heap, slots[at]);
        slots[at] = get(w->on_heap, size);
        slots[at][0] = slots[at][size - 1] = (char)i;
    }
    for (size_t i = 0; i < SLOTS; i++)
        put(w->on_heap, slots[i]);
    free(slots);
    return NULL;
}

static double trace(bool on_heap)
{
    struct worker workers[THREADS];
    double begin = now();

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.seed = i + 1, .on_heap = on_heap};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    return now() - begin;
}

struct node {
    struct node *next, *prev;
    uint64_t value;
};

static double list(bool on_heap)
{
    struct node *last = NULL;
    double begin = now();
    uint64_t sum = 0;

    for (uint64_t i = 0; i < NODES; i++) {
        struct node *n = get(on_heap, sizeof *n);

        *n = (struct node){.prev = last, .value = i};
        if (last)
            last->next = n;
        last = n;
    }
    for (struct node *n = last; n; n = n->prev)
        sum += n->value;
    if (sum != (uint64_t)NODES * (NODES - 1) / 2)
        exit(1);
    while (last) {
        struct node *before = last->prev;

        put(on_heap, last);
        last = before;
    }
    return now() - begin;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

// A new heap for each run: the memory of malloc is given back by then, too.
static void compare_with_malloc(struct diskalloc *da, const char *what, double (*run)(bool on_heap), double per)
{
    double ratios[ROUNDS], heap_ns[ROUNDS], malloc_ns[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        malloc_ns[i] = run(false) * 1e9 / per;
        if (diskalloc_heap_new(da, &heap) < 0)
            exit(1);
        heap_ns[i] = run(true) * 1e9 / per;
        diskalloc_heap_close(heap);
        ratios[i] = malloc_ns[i] / heap_ns[i];
    }
    qsort(ratios, ROUNDS, sizeof *ratios, compare);
    qsort(heap_ns, ROUNDS, sizeof *heap_ns, compare);
    qsort(malloc_ns, ROUNDS, sizeof *malloc_ns, compare);
    printf("%-48s %.2f (%.2f to %.2f) times as fast as malloc: %.1f ns, malloc %.1f ns\n", what, ratios[ROUNDS / 2],
           ratios[0], ratios[ROUNDS - 1], heap_ns[ROUNDS / 2], malloc_ns[ROUNDS / 2]);
}

int main(int argc, char **argv)
{
    char dir[128], address[160];
    struct diskalloc *da = NULL;

    if (argc > 1) {
        snprintf(address, sizeof address, "%s", argv[1]);
    } else {
        scratch_make_dir(dir, sizeof dir);
        snprintf(address, sizeof address, "dir:%s", dir);
    }
    if (diskalloc_open(address, NULL, &da) < 0) {
        fprintf(stderr, "bench-heap: %s\n", diskalloc_last_error());
        return 1;
    }
    compare_with_malloc(da, "small blocks, two threads, a step", trace, (double)STEPS);
    compare_with_malloc(da, "a list of 24-byte nodes: push, walk, drop, a node", list, (double)NODES);
    diskalloc_close(da);
    if (argc == 1)
        scratch_remove_tree(dir);
    return 0;
}
