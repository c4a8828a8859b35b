// Memory only, in the usual way: realloc in doublings.
#include <gnu/libc-version.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

struct vec {
    uint64_t *data;
    size_t len, cap;
};

static void set_capacity(struct vec *v, size_t cap)
{
    v->data = realloc(v->data, cap * sizeof *v->data);
    if (!v->data)
        bench_die("realloc");
    v->cap = cap;
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    (void)s;
    *v = (struct vec){0};
}

__attribute__((noinline, cold)) static void grow(struct vec *v)
{
    set_capacity(v, v->cap ? v->cap * 2 : 512);
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    if (__builtin_expect(v->len == v->cap, 0))
        grow(v);
    v->data[v->len++] = x;
}

static void vec_resize(struct vec *v, size_t n)
{
    set_capacity(v, n);
    v->len = n;
}

static void vec_drop(struct vec *v)
{
    free(v->data);
}

#include "tests/bench/workloads.h"

const struct contender contender_malloc = {
    .name = "malloc",
    .what = "memory only: realloc in doublings (mremap moves page tables, not bytes)",
    .version = gnu_get_libc_version,
    .run = run,
    .memory = 1,
};
