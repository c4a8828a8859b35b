// Filling memory that was got in one piece, against pushing alone and against a file mapped by hand.  Runs alternate,
// each is a process of its own; medians; no test.
//   diskalloc-bench-filling [MIB [ROUNDS [DIRECTORY]]]
#include <diskalloc/vec.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/child.h"

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

enum { MOST_ROUNDS = 100, LIMITED_SECONDS = 120, MOST_THREADS = 4 };
#define MIB ((size_t)1 << 20)
#define UNIT (2 * MIB)

static size_t n_numbers = 1024 * MIB / 8;
static const char *directory = "/var/tmp";

__attribute__((noreturn)) void bench_die(const char *what)
{
    fprintf(stderr, "%s: %m; %s\n", what, diskalloc_last_error());
    exit(1);
}

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// ---- The ways; each times itself, up to the last number that is stored ----

struct part {
    uint64_t *at;
    size_t n, first;
};

static void *fill(void *data)
{
    const struct part *p = data;

    for (size_t i = 0; i < p->n; i++)
        p->at[i] = p->first + i;
    return NULL;
}

static void fill_by(unsigned n_threads, uint64_t *at)
{
    struct part parts[MOST_THREADS];
    pthread_t threads[MOST_THREADS];
    size_t each = n_numbers / n_threads;

    for (unsigned i = 0; i < n_threads; i++) {
        parts[i] = (struct part){at + i * each, each, i * each};
        if (i > 0 && pthread_create(&threads[i], NULL, fill, &parts[i]) != 0)
            bench_die("thread");
    }
    fill(&parts[0]);
    for (unsigned i = 1; i < n_threads; i++)
        pthread_join(threads[i], NULL);
}

static double use_vector(unsigned n_threads, bool reserve)
{
    char address[4096];
    struct diskalloc *client;
    struct numbers v;
    double start, end;

    snprintf(address, sizeof address, "dir:%s", directory);
    if (diskalloc_open(address, NULL, &client) < 0 || numbers_init(&v, client) < 0)
        bench_die("open");
    start = bench_now();
    if (n_threads > 0) {
        uint64_t *at;

        if (numbers_append_uninit(&v, n_numbers, &at) < 0)
            bench_die("append");
        fill_by(n_threads, at);
    } else {
        if (reserve && numbers_reserve(&v, n_numbers) < 0)
            bench_die("reserve");
        for (size_t i = 0; i < n_numbers; i++)
            if (numbers_push(&v, i) < 0)
                bench_die("push");
    }
    end = bench_now();
    for (size_t i = 0; i < n_numbers; i += 511)
        if (v.data[i] != i)
            bench_die("a number is lost");
    numbers_deinit(&v);
    diskalloc_close(client);
    return end - start;
}

// BLOCKS: reserves them.
static double use_hand(unsigned n_threads, bool blocks)
{
    size_t length = n_numbers * 8;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    double start = bench_now(), end;
    char *at;

    if (fd < 0 || (blocks ? fallocate(fd, 0, 0, (off_t)length) : ftruncate(fd, (off_t)length)) < 0)
        bench_die("file");
    at = mmap(NULL, length + UNIT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        bench_die("address space");
    at += -(uintptr_t)at % UNIT;
    if (mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        bench_die("map");
    madvise(at, length, MADV_HUGEPAGE);
    fill_by(n_threads, (uint64_t *)(void *)at);
    end = bench_now();
    close(fd);
    return end - start;
}

static double push(void)
{
    return use_vector(0, false);
}

static double reserve_and_push(void)
{
    return use_vector(0, true);
}

static double one_thread(void)
{
    return use_vector(1, false);
}

static double two_threads(void)
{
    return use_vector(2, false);
}

static double four_threads(void)
{
    return use_vector(4, false);
}

static double hand_one(void)
{
    return use_hand(1, false);
}

static double hand_two(void)
{
    return use_hand(2, false);
}

static double hand_blocks(void)
{
    return use_hand(1, true);
}

static struct way {
    const char *id, *name;
    double (*run)(void);
    double seconds[MOST_ROUNDS];
} ways[] = {
    {.id = "-", .name = "push alone", .run = push},
    {.id = "F1", .name = "reserve, push", .run = reserve_and_push},
    {.id = "F2", .name = "append_uninit, fill in order", .run = one_thread},
    {.id = "F3", .name = "the same, two threads", .run = two_threads},
    {.id = "F4", .name = "the same, four threads", .run = four_threads},
    {.id = "-", .name = "by hand, one thread", .run = hand_one},
    {.id = "-", .name = "by hand, two threads", .run = hand_two},
    {.id = "-", .name = "by hand with blocks, one thread", .run = hand_blocks},
};
enum { N_WAYS = sizeof ways / sizeof *ways };

// ---- The series ----

static void run_way(const void *data, struct bench_result *ret)
{
    const struct way *w = data;

    ret->seconds = w->run();
    ret->outcome = OUTCOME_OK;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(unsigned n_rounds)
{
    double base;

    for (int i = 0; i < N_WAYS; i++)
        qsort(ways[i].seconds, n_rounds, sizeof *ways[i].seconds, compare);
    base = ways[0].seconds[n_rounds / 2];
    printf("%-4s%-36s%8s%8s%8s%12s\n", "", "seconds", "median", "least", "most", "x push");
    for (int i = 0; i < N_WAYS; i++) {
        const double *s = ways[i].seconds;

        printf("%-4s%-36s%8.3f%8.3f%8.3f%12.2f\n", ways[i].id, ways[i].name, s[n_rounds / 2], s[0], s[n_rounds - 1],
               base / s[n_rounds / 2]);
    }
}

int main(int argc, char **argv)
{
    unsigned long n_rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 7;

    if (argc > 1)
        n_numbers = strtoul(argv[1], NULL, 10) * MIB / 8;
    if (argc > 3)
        directory = argv[3];
    if (n_numbers < UNIT || n_rounds < 1 || n_rounds > MOST_ROUNDS)
        bench_die("16 MiB and a round at least, 100 rounds at most");
    for (unsigned round = 0; round < n_rounds; round++)
        for (unsigned i = 0; i < N_WAYS; i++) {
            struct way *w = &ways[(i + round) % N_WAYS];
            struct bench_result result;

            child_warm(n_numbers * 9);
            result = child_run(run_way, w, NULL, LIMITED_SECONDS);

            if (result.outcome != OUTCOME_OK)
                bench_die(w->name);
            w->seconds[round] = result.seconds;
        }
    print((unsigned)n_rounds);
    return 0;
}
