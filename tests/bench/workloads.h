// The workloads, compiled into each contender so that its push is inlined as in a real program.  Included after
//   struct vec { uint64_t *data; size_t len; … };
//   static void vec_init(struct vec *v, const struct bench_settings *settings);
//   static inline void vec_push(struct vec *v, uint64_t x);
//   static void vec_resize(struct vec *v, size_t n);     // capacity too; content of what is new does not matter
//   static void vec_drop(struct vec *v);
// All end the program when they fail.
#pragma once
#include <stdlib.h>

#include "tests/bench/bench.h"

enum { N_UPDATES = 20000000, N_RESIZES = 20, N_VECTORS = 200, SMALL = 131072, PER_PAGE = 512 };
#define MIX UINT64_C(0x9E3779B97F4A7C15)

static void fill(struct vec *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(v, i * MIX);
}

static uint64_t sum(const struct vec *v)
{
    uint64_t total = 0;

    for (size_t i = 0; i < v->len; i++)
        total += v->data[i];
    return total;
}

static void touch(struct vec *v, size_t n, uint64_t x)
{
    for (size_t i = 0; i < n; i += PER_PAGE)
        v->data[i] = x + i;
}

static void push_and_drop(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    double start = bench_now(), filled;

    vec_init(&v, s);
    fill(&v, s->n);
    filled = bench_now();
    vec_drop(&v);
    ret->first = filled - start;
    ret->second = bench_now() - filled;
    ret->seconds = ret->first + ret->second;
}

static void random_update(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    uint64_t random = 88172645463325252;
    double start;

    vec_init(&v, s);
    fill(&v, s->n);
    start = bench_now();
    for (uint64_t k = 0; k < N_UPDATES; k++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t i = (size_t)(((unsigned __int128)random * s->n) >> 64);
        v.data[i] = v.data[i] * MIX + k;
    }
    ret->seconds = bench_now() - start;
    vec_drop(&v);
}

static void scan(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;
    uint64_t first;
    double start;

    vec_init(&v, s);
    fill(&v, s->n);
    first = sum(&v);
    start = bench_now();
    if (sum(&v) != first)
        bench_die("two sums differ");
    ret->seconds = bench_now() - start;
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
        ret->first += between - before;
        ret->second += bench_now() - between;
        touch(&v, s->n, k);
    }
    ret->seconds = bench_now() - start;
    vec_drop(&v);
}

static void many_small(const struct bench_settings *s, struct bench_result *ret)
{
    static struct vec vectors[N_VECTORS];
    double start = bench_now(), made;

    for (size_t i = 0; i < N_VECTORS; i++) {
        vec_init(&vectors[i], s);
        fill(&vectors[i], SMALL);
    }
    made = bench_now();
    for (size_t i = 0; i < N_VECTORS; i++)
        vec_drop(&vectors[i]);
    ret->first = made - start;
    ret->second = bench_now() - made;
    ret->seconds = ret->first + ret->second;
}

static void run(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    static void (*const workloads[])(const struct bench_settings *, struct bench_result *) = {
        [PUSH_AND_DROP] = push_and_drop, [RANDOM_UPDATE] = random_update, [SCAN] = scan, [RESIZE] = resize,
        [MANY_SMALL] = many_small,
    };

    workloads[w](s, ret);
}
