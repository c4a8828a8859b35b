// The cost and the effect of diskalloc_region_advise: the call, a scan from disk, reads at random from disk, and
// which pages go first under a memory limit.  Beside it, what the kernel's own calls would do.  Rounds alternate,
// medians; no test.
//   diskalloc-bench-advise [MIB [DIRECTORY]]
#include <diskalloc/client.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/child.h"
#include "tests/lib/cgroup.h"

enum { ROUNDS = 5, PAGE = 4096, READS = 200, LIMITED_SECONDS = 60 };
#define MIB ((size_t)1 << 20)
#define UNIT (2 * MIB)

static size_t size = 1024 * MIB;
static const char *directory = "/var/tmp";
static struct diskalloc *client;
static struct diskalloc_region *region;
static char *data;
static volatile uint64_t sink; // what was read is used

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

static void must(int result, const char *what)
{
    if (result < 0)
        bench_die(what);
}

// ---- A region on disk, and none of it in memory ----

static void make(void)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    char address[4096];

    snprintf(address, sizeof address, "dir:%s", directory);
    o.size = size;
    must(diskalloc_open(address, NULL, &client), "open");
    must(diskalloc_region_create(client, &o, &region), "create");
    data = diskalloc_region_data(region);
    memset(data, 1, size);
    must(diskalloc_region_sync(region), "sync");
}

static void unmake(void)
{
    diskalloc_region_close(region);
    diskalloc_close(client);
}

// Mapped pages are not dropped.
static void drop(void)
{
    must(madvise(data, size, MADV_DONTNEED), "unmap");
    must(posix_fadvise(diskalloc_region_fd(region), 0, 0, POSIX_FADV_DONTNEED), "drop");
}

static size_t in_memory(size_t from, size_t to)
{
    size_t n_pages = (to - from) / PAGE, n = 0;
    unsigned char *pages = malloc(n_pages);

    if (!pages || mincore(data + from, to - from, pages) < 0)
        bench_die("mincore");
    for (size_t i = 0; i < n_pages; i++)
        n += pages[i] & 1;
    free(pages);
    return n * PAGE;
}

// ---- Ways to say it ----

static void advise(int advice)
{
    must(diskalloc_region_advise(region, 0, size, advice), "advise");
}

static void normal(void)
{
    advise(DISKALLOC_ADVICE_NORMAL);
}

static void sequential(void)
{
    advise(DISKALLOC_ADVICE_SEQUENTIAL);
}

static void at_random(void)
{
    advise(DISKALLOC_ADVICE_RANDOM);
}

static void will_need(void)
{
    advise(DISKALLOC_ADVICE_WILLNEED);
}

static void cold(void)
{
    advise(DISKALLOC_ADVICE_COLD);
}

static void kernel_small_random(void)
{
    must(madvise(data, size, MADV_NOHUGEPAGE), "small pages");
    must(madvise(data, size, MADV_RANDOM), "random");
}

static void will_need_by(size_t piece)
{
    for (size_t at = 0; at < size; at += piece)
        must(madvise(data + at, piece, MADV_WILLNEED), "willneed");
}

static void kernel_will_need_large(void)
{
    will_need_by(UNIT);
}

static void kernel_will_need_small(void)
{
    will_need_by(UNIT / 16);
}

static void kernel_populate(void)
{
    must(madvise(data, size, MADV_POPULATE_READ), "populate");
}

static void kernel_default(void)
{
    must(madvise(data, size, MADV_HUGEPAGE), "huge pages");
    must(madvise(data, size, MADV_NORMAL), "normal");
}

static struct way {
    const char *name;
    void (*say)(void);
    bool scans, reads;
    double call[ROUNDS], cached[ROUNDS], at_once[ROUNDS], later[ROUNDS], scan[ROUNDS], rest[ROUNDS], read[ROUNDS],
        per_read[ROUNDS], faults[ROUNDS];
} ways[] = {
    {.name = "NORMAL", .say = normal, .scans = true, .reads = true},
    {.name = "SEQUENTIAL", .say = sequential, .scans = true, .reads = true},
    {.name = "RANDOM", .say = at_random, .reads = true},
    {.name = "WILLNEED", .say = will_need, .scans = true},
    {.name = "COLD", .say = cold},
    {.name = "kernel: NOHUGEPAGE, RANDOM", .say = kernel_small_random, .reads = true},
    {.name = "kernel: WILLNEED by 2 MiB", .say = kernel_will_need_large, .scans = true},
    {.name = "kernel: WILLNEED by 128 KiB", .say = kernel_will_need_small, .scans = true},
    {.name = "kernel: POPULATE_READ", .say = kernel_populate, .scans = true},
};
enum { N_WAYS = sizeof ways / sizeof *ways };

// ---- What is measured ----

static double timed(void (*fn)(void))
{
    double start = bench_now();

    fn();
    return bench_now() - start;
}

static void scan(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size / sizeof sum; i++)
        sum += ((const uint64_t *)(const void *)data)[i];
    sink = sum;
}

static void read_at_random(void)
{
    static uint64_t random = 88172645463325252;

    for (int i = 0; i < READS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        sink += (uint64_t)data[(size_t)(((unsigned __int128)random * size) >> 64)];
    }
}

static void settle(void)
{
    for (size_t before = SIZE_MAX, now; (now = in_memory(0, size)) != before; before = now)
        usleep(50000);
}

static void measure_scan(struct way *w, int round)
{
    drop();
    w->call[round] = timed(w->say);
    w->at_once[round] = (double)in_memory(0, size);
    w->scan[round] = timed(scan);
    w->cached[round] = timed(w->say);
    kernel_default();
    drop();
    w->say();
    settle();
    w->later[round] = (double)in_memory(0, size);
    w->rest[round] = timed(scan);
    kernel_default();
}

static void measure_call(struct way *w, int round)
{
    drop();
    w->call[round] = timed(w->say);
    scan();
    w->cached[round] = timed(w->say);
}

static void measure_reads(struct way *w, int round)
{
    struct rusage before, after;

    drop();
    if (!w->scans)
        w->call[round] = timed(w->say);
    w->say();
    getrusage(RUSAGE_SELF, &before);
    w->read[round] = timed(read_at_random);
    getrusage(RUSAGE_SELF, &after);
    w->faults[round] = (double)(after.ru_majflt - before.ru_majflt) / READS;
    settle();
    w->per_read[round] = (double)in_memory(0, size) / READS;
    kernel_default();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void print_ways(void)
{
    double gib = (double)size / (1 << 30), scan_normal = median(ways[0].scan), read_normal = median(ways[0].read);

    printf("%-31s %13s %13s %9s %9s %6s %6s %9s %6s %6s\n", "", "dropped ms/GiB", "cached ms/GiB", "at once", "later",
           "scan", "later", "KiB/read", "reads", "faults");
    for (struct way *w = ways; w < ways + N_WAYS; w++)
        printf("%-31s %14.3f %13.3f %5.0f MiB %5.0f MiB %6.2f %6.2f %9.0f %6.2f %6.2f\n", w->name,
               median(w->call) * 1e3 / gib, median(w->cached) * 1e3 / gib, median(w->at_once) / (double)MIB,
               median(w->later) / (double)MIB, w->scans ? scan_normal / median(w->scan) : 0,
               w->scans ? scan_normal / median(w->rest) : 0, median(w->per_read) / 1024,
               w->reads ? read_normal / median(w->read) : 0, median(w->faults));
    printf("scan, reads: times as fast as NORMAL (%.3f s, %.3f s)\n", scan_normal, read_normal);
}

// ---- Which part goes first, under a limit ----

struct share {
    int advice;
    size_t half; // which one the advice is about; 2: none
};

static void advise_half(const struct share *s)
{
    if (s->half < 2)
        must(diskalloc_region_advise(region, s->half * (size / 2), size / 2, s->advice), "advise");
}

// Both halves are used alike; then as much as one of them has to go.
static void measure_share(const void *arg, struct bench_result *ret)
{
    double start;
    char *p;

    make();
    drop();
    advise_half(arg);
    scan();
    scan();
    start = bench_now();
    advise_half(arg);
    ret->seconds = bench_now() - start;
    p = mmap(NULL, size / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("mmap");
    for (size_t i = 0; i < size / 2; i += PAGE)
        p[i] = 1;
    ret->part[0] = (double)in_memory(0, size / 2) / (double)(size / 2);
    ret->part[1] = (double)in_memory(size / 2, size) / (double)(size / 2);
    unmake();
}

static bool print_share(const char *name, const struct share *share)
{
    static const char *const halves[] = {"the first half", "the second half", "nothing"};
    struct bench_result r;
    struct cgroup group;
    const char *why;

    if (cgroup_make(&group, size + size / 8, &why) < 0) {
        printf("under a limit: not measured, %s\n", why);
        return false;
    }
    r = child_run(measure_share, share, &group, LIMITED_SECONDS);
    cgroup_remove(&group);
    printf("under a limit, %-10s of %-15s (%.3f ms): in memory %3.0f %% of the first, %3.0f %% of the second half%s\n",
           name, halves[share->half], r.seconds * 1e3, r.part[0] * 100, r.part[1] * 100,
           r.outcome == OUTCOME_OK ? "" : "; it did not end well");
    return true;
}

static void print_shares(void)
{
    static const struct {
        const char *name;
        struct share share;
    } shares[] = {
        {"NORMAL", {DISKALLOC_ADVICE_NORMAL, 2}},     {"COLD", {DISKALLOC_ADVICE_COLD, 0}},
        {"COLD", {DISKALLOC_ADVICE_COLD, 1}},         {"SEQUENTIAL", {DISKALLOC_ADVICE_SEQUENTIAL, 1}},
        {"WILLNEED", {DISKALLOC_ADVICE_WILLNEED, 0}},
    };
    size_t whole = size;

    size = size / 2;
    for (size_t i = 0; i < sizeof shares / sizeof *shares && print_share(shares[i].name, &shares[i].share); i++)
        continue;
    size = whole;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1)
        size = strtoul(argv[1], NULL, 10) * MIB;
    if (argc > 2)
        directory = argv[2];
    if (size < UNIT || size % UNIT)
        bench_die("MIB is a multiple of 2");
    print_shares();
    make();
    scan();
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < N_WAYS; i++) {
            struct way *w = &ways[(i + round) % N_WAYS];

            if (w->scans)
                measure_scan(w, round);
            if (!w->scans && !w->reads)
                measure_call(w, round);
            if (w->reads)
                measure_reads(w, round);
        }
    print_ways();
    unmake();
    return 0;
}
