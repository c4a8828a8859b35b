// The workloads, compiled into each contender so that its push is inlined as in a real program.  Included after
//   struct vec { uint64_t *data; size_t len; … };
//   static void vec_init(struct vec *v, const struct bench_settings *settings);
//   static inline void vec_push(struct vec *v, uint64_t x);
//   static void vec_resize(struct vec *v, size_t n);     // capacity too; content of what is new does not matter
//   static void vec_drop(struct vec *v);
// All end the program when they fail.  What is no plain array says how else it is read and written:
//   VEC_AT(v, i)        number i, to read and to write
//   VEC_SUM(v)          of all numbers
//   VEC_FILLED(v)       the pushing is over: timed, as part of it
//   VEC_PREPARE(v)      updates at random follow: not timed
//   VEC_SORT(v)         of all numbers; otherwise by std::sort
//   VEC_IS_SORTED(v)    whether they are
#pragma once
#include <stdlib.h>

#include "tests/bench/bench.h"

enum { N_UPDATES = 20000000, N_RESIZES = 20, N_VECTORS = 200, SMALL = 131072, PER_PAGE = 512 };
#define MIX UINT64_C(0x9E3779B97F4A7C15)

#ifndef VEC_AT
#define VEC_AT(v, i) ((v)->data[i])
#endif
#ifndef VEC_FILLED
#define VEC_FILLED(v) ((void)(v))
#endif
#ifndef VEC_PREPARE
#define VEC_PREPARE(v) ((void)(v))
#endif

#ifndef VEC_SORT
#define VEC_SORT(v) bench_std_sort((v)->data, (v)->len)
#endif

static void fill(struct vec *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(v, i * MIX);
    VEC_FILLED(v);
}

#ifndef VEC_SUM
#define VEC_SUM(v) sum(v)
static uint64_t sum(const struct vec *v)
{
    uint64_t total = 0;

    for (size_t i = 0; i < v->len; i++)
        total += v->data[i];
    return total;
}
#endif

#ifndef VEC_IS_SORTED
#define VEC_IS_SORTED(v) is_sorted(v)
static bool is_sorted(const struct vec *v)
{
    for (size_t i = 1; i < v->len; i++)
        if (v->data[i - 1] > v->data[i])
            return false;
    return true;
}
#endif

// 0 + MIX + 2 MIX + …: so a contender that lost a number is found out.
static uint64_t expected_sum(size_t n)
{
    return (n % 2 ? n * ((n - 1) / 2) : n / 2 * (n - 1)) * MIX;
}

static void check_sum(uint64_t total, size_t n)
{
    if (total != expected_sum(n))
        bench_die("the sum is wrong");
}

static void touch(struct vec *v, size_t n, uint64_t x)
{
    for (size_t i = 0; i < n; i += PER_PAGE)
        VEC_AT(v, i) = x + i;
}

static void set_parts(struct bench_result *ret, double a, double b, double c)
{
    ret->part[0] = a;
    ret->part[1] = b;
    ret->part[2] = c;
    ret->seconds = a + b + c;
}

static void push_and_drop(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    double start = bench_now(), filled;

    vec_init(&v, s);
    fill(&v, s->n);
    filled = bench_now();
    vec_drop(&v);
    set_parts(ret, filled - start, bench_now() - filled, 0);
}

static void random_update(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    uint64_t random = 88172645463325252;
    double start;

    vec_init(&v, s);
    fill(&v, s->n);
    VEC_PREPARE(&v);
    start = bench_now();
    for (uint64_t k = 0; k < N_UPDATES; k++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t i = (size_t)(((unsigned __int128)random * s->n) >> 64);
        uint64_t *number = &VEC_AT(&v, i);
        *number = *number * MIX + k;
    }
    ret->seconds = bench_now() - start;
    vec_drop(&v);
}

static void scan(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    uint64_t total;
    double start;

    vec_init(&v, s);
    fill(&v, s->n);
    check_sum(VEC_SUM(&v), s->n);
    start = bench_now();
    total = VEC_SUM(&v);
    ret->seconds = bench_now() - start;
    check_sum(total, s->n);
    vec_drop(&v);
}

static void resize(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    double start;

    vec_init(&v, s);
    vec_resize(&v, s->n);
    touch(&v, s->n, 1);
    start = bench_now();
    for (uint64_t k = 0; k < N_RESIZES; k++) {
        double before = bench_now(), between;

        vec_resize(&v, SMALL);
        between = bench_now();
        vec_resize(&v, s->n);
        ret->part[0] += between - before;
        ret->part[1] += bench_now() - between;
        touch(&v, s->n, k);
    }
    ret->seconds = bench_now() - start;
    ret->part[2] = ret->seconds - ret->part[0] - ret->part[1];
    vec_drop(&v);
}

static void many_small(const struct bench_settings *s, struct bench_result *ret)
{
    static struct vec vectors[N_VECTORS];
    struct bench_settings small = *s;
    double start = bench_now(), made;

    small.n = SMALL;
    for (size_t i = 0; i < N_VECTORS; i++) {
        vec_init(&vectors[i], &small);
        fill(&vectors[i], SMALL);
    }
    made = bench_now();
    for (size_t i = 0; i < N_VECTORS; i++)
        vec_drop(&vectors[i]);
    set_parts(ret, made - start, bench_now() - made, 0);
}

static void under_limit(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    double start = bench_now(), filled, scanned;

    vec_init(&v, s);
    fill(&v, s->n);
    filled = bench_now();
    check_sum(VEC_SUM(&v), s->n);
    scanned = bench_now();
    vec_drop(&v);
    set_parts(ret, filled - start, scanned - filled, bench_now() - scanned);
}

static void sort_all(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    double start;

    vec_init(&v, s);
    fill(&v, s->n);
    start = bench_now();
    VEC_SORT(&v);
    ret->seconds = bench_now() - start;
    if (!VEC_IS_SORTED(&v))
        bench_die("the numbers are not sorted");
    check_sum(VEC_SUM(&v), s->n);
    vec_drop(&v);
}

static void run(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    static void (*const workloads[WORKLOAD_N])(const struct bench_settings *, struct bench_result *) = {
        push_and_drop, random_update, scan, resize, many_small, under_limit, sort_all, sort_all,
    };

    workloads[w](s, ret);
}
