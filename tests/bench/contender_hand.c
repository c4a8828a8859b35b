// The code that one would write by hand: an unnamed file mapped over 512 GiB, grown by ftruncate in doublings.  No
// promise that the disk has room.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define RESERVE ((size_t)512 << 30)

struct vec {
    uint64_t *data;
    size_t len, cap;
    int fd;
};

static void set_capacity(struct vec *v, size_t cap)
{
    if (ftruncate(v->fd, (off_t)(cap * sizeof *v->data)) < 0)
        bench_die("ftruncate");
    v->cap = cap;
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    *v = (struct vec){.fd = open(s->dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600)};
    if (v->fd < 0)
        bench_die(s->dir);
    v->data = mmap(NULL, RESERVE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, v->fd, 0);
    if (v->data == MAP_FAILED)
        bench_die("mmap");
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
    set_capacity(v, 0);
    munmap(v->data, RESERVE);
    close(v->fd);
}

static bool reads_by_pages;

static void vec_reading(struct vec *v)
{
    if (reads_by_pages && madvise(v->data, v->cap * sizeof *v->data, MADV_RANDOM) < 0)
        bench_die("madvise");
}

// The kernel's own way to announce, a call a page.
static void vec_announce(struct vec *v, const size_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++)
        madvise((char *)v->data + (places[i] * sizeof *v->data & ~(size_t)4095), 4096, MADV_WILLNEED);
}

#define VEC_READING(v) vec_reading(v)
#define VEC_ANNOUNCE(v, places, n) vec_announce(v, places, n)
#include "tests/bench/workloads.h"

static void run_random(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    reads_by_pages = true;
    run(s, w, ret);
}

const struct contender contender_hand = {
    .name = "hand",
    .what = "a file mapped over 512 GiB, ftruncate in doublings (the crate diskallocator is within 2 % of this)",
    .run = run,
    .disk = 1,
};

const struct contender contender_hand_random = {
    .name = "hand-random",
    .what = "R: hand, with MADV_RANDOM from the first random read on",
    .run = run_random,
    .disk = 1,
    .cannot = ~(1u << READING | 1u << READING_BOTH),
    .cannot_because = "differs from hand in random reading only",
};
