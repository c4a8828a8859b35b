// Memory only, as good as it gets: 512 GiB of anonymous memory reserved at once, with huge pages.
#include <sys/mman.h>

#include "tests/bench/bench.h"

#define RESERVE ((size_t)512 << 30)

struct vec {
    uint64_t *data;
    size_t len;
};

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    (void)s;
    *v = (struct vec){mmap(NULL, RESERVE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                      0};
    if (v->data == MAP_FAILED)
        bench_die("mmap");
    madvise(v->data, RESERVE, MADV_HUGEPAGE);
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    v->data[v->len++] = x;
}

static void vec_resize(struct vec *v, size_t n)
{
    if (n < v->len)
        madvise(v->data + n, (v->len - n) * sizeof *v->data, MADV_DONTNEED);
    v->len = n;
}

static void vec_drop(struct vec *v)
{
    munmap(v->data, RESERVE);
}

#include "tests/bench/workloads.h"

const struct contender contender_ram_huge = {
    .name = "ram-huge",
    .what = "memory only: 512 GiB of anonymous memory reserved at once, huge pages, no check in the push",
    .run = run,
    .memory = 1,
};
