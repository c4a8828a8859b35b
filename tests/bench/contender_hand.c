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

#include "tests/bench/workloads.h"

const struct contender contender_hand = {
    .name = "hand",
    .what = "a file mapped over 512 GiB, ftruncate in doublings (the crate diskallocator is within 2 % of this)",
    .run = run,
    .disk = 1,
};
