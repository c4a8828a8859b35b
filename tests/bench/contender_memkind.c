// memkind: a heap in a file (memkind_create_pmem), realloc in doublings.  One heap for all vectors of a program.
#include <memkind.h>
#include <stdio.h>

#include "tests/bench/bench.h"

struct vec {
    uint64_t *data;
    size_t len, cap;
};

static struct {
    memkind_t kind;
    size_t n_vectors;
} heap;

static void set_capacity(struct vec *v, size_t cap)
{
    v->data = memkind_realloc(heap.kind, v->data, cap * sizeof *v->data);
    if (!v->data)
        bench_die("memkind_realloc");
    v->cap = cap;
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    *v = (struct vec){0};
    if (heap.n_vectors++ == 0 && memkind_create_pmem(s->dir, 0, &heap.kind) != MEMKIND_SUCCESS)
        bench_die("memkind_create_pmem");
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

// Freed blocks stay in the heap's file: only its end gives everything back.
static void vec_drop(struct vec *v)
{
    memkind_free(heap.kind, v->data);
    if (--heap.n_vectors == 0)
        memkind_destroy_kind(heap.kind);
}

#include "tests/bench/workloads.h"

static const char *version(void)
{
    static char text[32];
    int v = memkind_get_version();

    snprintf(text, sizeof text, "%d.%d.%d", v / 1000000, v / 1000 % 1000, v % 1000);
    return text;
}

const struct contender contender_memkind = {
    .name = "memkind",
    .what = "memkind_create_pmem on the directory, memkind_realloc in doublings",
    .version = version,
    .run = run,
    .disk = 4, // old and new block beside each other, and what was freed before
};
