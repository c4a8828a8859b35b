// This library, through a daemon and on a directory.
#include <diskalloc/vec.h>

#include <stdbool.h>
#include <stdio.h>

#include "tests/bench/bench.h"

static inline int number_less(const uint64_t *a, const uint64_t *b)
{
    return *a < *b;
}
DISKALLOC_VEC_DEFINE(numbers, uint64_t)
DISKALLOC_VEC_DEFINE_ORDER(numbers, uint64_t, number_less)
#define vec numbers // the workloads know it as struct vec

static struct diskalloc *client;

static void must(bool succeeded)
{
    if (!succeeded)
        bench_die(diskalloc_last_error());
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    (void)s;
    must(numbers_init(v, client) == 0);
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    must(numbers_push(v, x) == 0);
}

static void vec_resize(struct vec *v, size_t n)
{
    if (n > v->len)
        must(numbers_reserve(v, n - v->len) == 0);
    else
        must(numbers_truncate(v, n) == 0 && numbers_shrink_to_fit(v) == 0);
    v->len = n;
}

static void vec_drop(struct vec *v)
{
    numbers_deinit(v);
}

static bool sorts_by_std;

static void vec_sort(struct vec *v)
{
    if (sorts_by_std)
        bench_std_sort(v->data, v->len);
    else
        must(numbers_sort(v) == 0);
}

static bool reads_by_pages;

static void vec_reading(struct vec *v)
{
    must(!reads_by_pages || numbers_advise(v, DISKALLOC_ADVICE_RANDOM) == 0);
}

static void vec_announce(struct vec *v, const size_t *places, size_t n)
{
    must(numbers_prefetch(v, places, n) == 0);
}

static void vec_extend(struct vec *v, const uint64_t *numbers, size_t n)
{
    must(numbers_extend(v, numbers, n) == 0);
}

// What has been summed goes back to the disk and the quota, batch by batch, as it was pushed.
static uint64_t vec_consume(struct vec *v)
{
    enum { BATCH = 256 << 10 };
    const size_t batch = BATCH / sizeof *v->data;
    uint64_t total = 0;

    for (size_t i = 0; i < v->len; i++) {
        total += v->data[i];
        if ((i + 1) % batch == 0)
            must(numbers_discard_front(v, i + 1) == 0);
    }
    return total;
}

#define VEC_SORT(v) vec_sort(v)
#define VEC_READING(v) vec_reading(v)
#define VEC_ANNOUNCE(v, places, n) vec_announce(v, places, n)
#define VEC_EXTEND(v, numbers, n) vec_extend(v, numbers, n)
#define VEC_CONSUME(v) vec_consume(v)
#include "tests/bench/workloads.h"

static void run_at(const char *address, const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    must(diskalloc_open(address, NULL, &client) == 0);
    run(s, w, ret);
    diskalloc_close(client);
}

static void run_daemon(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    run_at(s->address, s, w, ret);
}

static void run_dir(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    char address[4096];

    snprintf(address, sizeof address, "dir:%s", s->dir);
    run_at(address, s, w, ret);
}

static void run_std(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    sorts_by_std = true;
    run_dir(s, w, ret);
}

static void run_random(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    reads_by_pages = true;
    run_dir(s, w, ret);
}

const struct contender contender_diskalloc_daemon = {
    .name = "diskalloc-daemon",
    .what = "<diskalloc/vec.h> with a daemon: quotas, and every byte granted has its block",
    .version = diskalloc_version,
    .run = run_daemon,
    .disk = 2,
};
const struct contender contender_diskalloc_dir = {
    .name = "diskalloc-dir",
    .what = "<diskalloc/vec.h> on a directory, without a daemon: every byte granted has its block",
    .version = diskalloc_version,
    .run = run_dir,
    .disk = 2,
};
const struct contender contender_diskalloc_std = {
    .name = "diskalloc-std",
    .what = "R5: std::sort on the data of diskalloc-dir's vector",
    .version = diskalloc_version,
    .run = run_std,
    .disk = 2,
    .cannot = ~(1u << SORT | 1u << SORT_LIMITED),
    .cannot_because = "differs from diskalloc-dir in sorting only",
};
const struct contender contender_diskalloc_random = {
    .name = "diskalloc-random",
    .what = "R: diskalloc-dir, with the advice RANDOM from the first random read on",
    .version = diskalloc_version,
    .run = run_random,
    .disk = 2,
    .cannot = ~(1u << READING | 1u << READING_BOTH),
    .cannot_because = "differs from diskalloc-dir in random reading only",
};
