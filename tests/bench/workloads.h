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
//   VEC_READ(v, i)      number i, to read only; VEC_AT by default
//   VEC_READING(v)      random reads of more than memory follow: not timed
//   VEC_ANNOUNCE(v, places, n)     these N numbers are read next; if it can be said
//   VEC_EXTEND(v, numbers, n)      a batch is pushed
//   VEC_CONSUME(v)      the sum of all numbers, in order, none of which is needed again
#pragma once
#include <stdlib.h>

#include "tests/bench/bench.h"

enum { N_UPDATES = 20000000, N_RESIZES = 20, N_VECTORS = 200, SMALL = 131072, PER_PAGE = 512, PER_BATCH = 32768 };
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
#define VEC_PLAIN 1
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

#ifndef VEC_READ
#define VEC_READ(v, i) VEC_AT(v, i)
#endif
#ifndef VEC_READING
#define VEC_READING(v) ((void)(v))
#endif

#ifndef VEC_CONSUME
#define VEC_CONSUME(v) VEC_SUM(v)
#endif

#ifndef VEC_EXTEND
#define VEC_EXTEND(v, numbers, n) extend(v, numbers, n)
static void extend(struct vec *v, const uint64_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(v, numbers[i]);
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

// SHIFT 0: numbers that nothing can compress; 56: one byte of eight differs.
static void push_and_consume(const struct bench_settings *s, unsigned shift, struct bench_result *ret)
{
    static uint64_t batch[PER_BATCH];
    uint64_t pushed = 0;
    struct vec v;
    double start = bench_now(), filled, consumed;

    vec_init(&v, s);
    for (size_t i = 0; i < s->n; i += PER_BATCH) {
        size_t n = s->n - i < PER_BATCH ? s->n - i : (size_t)PER_BATCH;

        for (size_t k = 0; k < n; k++) {
            batch[k] = (i + k) * MIX >> shift;
            pushed += batch[k];
        }
        VEC_EXTEND(&v, batch, n);
    }
    VEC_FILLED(&v);
    filled = bench_now();
    if (VEC_CONSUME(&v) != pushed)
        bench_die("the sum is wrong");
    consumed = bench_now();
    vec_drop(&v);
    set_parts(ret, filled - start, consumed - filled, bench_now() - consumed);
}

static void once(const struct bench_settings *s, struct bench_result *ret)
{
    push_and_consume(s, 0, ret);
}

static void once_small(const struct bench_settings *s, struct bench_result *ret)
{
    push_and_consume(s, 56, ret);
}

#include "tests/bench/reading.h"

static void run(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    static void (*const workloads[WORKLOAD_N])(const struct bench_settings *, struct bench_result *) = {
        push_and_drop, random_update, scan,    resize,       many_small, under_limit,
        sort_all,      sort_all,      reading, reading_both, once,       once_small,
    };

    workloads[w](s, ret);
}
