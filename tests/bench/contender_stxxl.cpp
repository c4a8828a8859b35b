// STXXL: stxxl::vector on a file of its own, filled through its bufwriter and summed through its bufreader, which
// overlap reading and writing with the work; single numbers through operator[] and the vector's own cache.  On STXXL's
// common disk a vector would be dropped at no cost, and nothing be given back before the program ends.
//
// STXXL is allowed a cache as large as the vector, up to a quarter of the memory; blocks of 2 MiB, and the random
// pager, which costs less at an access than LRU.  A vector of up to half the memory goes through the page cache (faster
// then), a larger one past it, as STXXL's manual has it.
#include <algorithm>
#include <stdio.h>
#include <stxxl/io>
#include <stxxl/sort>
#include <stxxl/vector>
#include <unistd.h>

#include "tests/bench/bench.h"

// contender_stxxl_small.cpp has blocks of another size, which go through the page cache.
#ifndef STXXL_BLOCK_BYTES
#define STXXL_BLOCK_BYTES (2 << 20)
#define STXXL_THROUGH_PAGE_CACHE 0
#define STXXL_CONTENDER contender_stxxl
#endif

enum { BLOCK_BYTES = STXXL_BLOCK_BYTES, PER_BLOCK = BLOCK_BYTES / 8, SMALLEST_CACHE = 4, DISK_UNIT = 64 << 20 };
typedef stxxl::VECTOR_GENERATOR<uint64_t, 1, SMALLEST_CACHE, BLOCK_BYTES, stxxl::RC, stxxl::random>::result numbers;

struct vec {
    stxxl::syscall_file *file;
    numbers *all;
    numbers::bufwriter_type *writer;
    size_t len, cap;
};

static size_t sort_memory;

// There must be one, or STXXL makes a large one.  A sort needs BYTES of it; they cost nothing until they are used.
static void add_disk(const char *dir, size_t bytes)
{
    static bool done;
    size_t size = (bytes / DISK_UNIT + 2) * DISK_UNIT;
    stxxl::disk_config disk(std::string(dir) + "/bench-stxxl-disk-" + std::to_string(getpid()), size, "syscall");

    disk.unlink_on_open = true;
    if (!done)
        stxxl::config::get_instance()->add_disk(disk);
    done = true;
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    size_t most = s->memory / 4 / BLOCK_BYTES, blocks = s->n / PER_BLOCK + 1;
    int mode = stxxl::file::RDWR | stxxl::file::CREAT | stxxl::file::TRUNC;
    char path[4096];

    if (!STXXL_THROUGH_PAGE_CACHE && s->n * 8 > s->memory / 2)
        mode |= stxxl::file::DIRECT;
    sort_memory = s->memory / 2;
    add_disk(s->dir, s->n * 8);
    *v = vec();
    snprintf(path, sizeof path, "%s/bench-stxxl-%ld", s->dir, (long)getpid());
    v->file = new stxxl::syscall_file(path, mode);
    unlink(path);
    v->all = new numbers(v->file, (numbers::size_type)0,
                         (stxxl::unsigned_type)std::max<size_t>(SMALLEST_CACHE, std::min(most, blocks)));
}

// The bufwriter would grow the vector too, but 1.4.1 then loses the last block before each doubling.
__attribute__((noinline, cold)) static void grow(struct vec *v)
{
    delete v->writer;
    v->cap = v->cap ? v->cap * 2 : (size_t)PER_BLOCK;
    v->all->resize(v->cap);
    v->writer = new numbers::bufwriter_type(v->all->begin() + (numbers::size_type)v->len);
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    if (__builtin_expect(v->len == v->cap, 0))
        grow(v);
    *v->writer << x;
    v->len++;
}

static void vec_filled(struct vec *v)
{
    delete v->writer;
    v->writer = nullptr;
    v->all->resize(v->len);
    v->cap = v->len;
}

static uint64_t vec_sum(const struct vec *v)
{
    uint64_t total = 0;

    for (numbers::bufreader_type reader(*v->all); !reader.empty(); ++reader)
        total += *reader;
    return total;
}

static void vec_load_cache(struct vec *v)
{
    for (size_t i = 0; i < v->len; i += PER_BLOCK)
        (*v->all)[i] += 1;
}

static void vec_resize(struct vec *v, size_t n)
{
    (void)v, (void)n;
    bench_die("STXXL gives no memory back");
}

static void vec_drop(struct vec *v)
{
    v->all->clear(); // or its cache is written first
    delete v->all;
    delete v->file;
}

struct number_less {
    bool operator()(uint64_t a, uint64_t b) const
    {
        return a < b;
    }
    uint64_t min_value() const
    {
        return 0;
    }
    uint64_t max_value() const
    {
        return UINT64_MAX;
    }
};

// The sort has half of the memory, besides the vector's cache.
static void vec_sort(struct vec *v)
{
    v->all->flush();
    stxxl::sort(v->all->begin(), v->all->end(), number_less(), (stxxl::unsigned_type)sort_memory);
}

static bool vec_is_sorted(const struct vec *v)
{
    uint64_t before = 0;

    for (numbers::bufreader_type reader(*v->all); !reader.empty(); ++reader) {
        if (*reader < before)
            return false;
        before = *reader;
    }
    return true;
}

#define VEC_AT(v, i) ((*(v)->all)[i])
#define VEC_READ(v, i) ((*(const numbers *)(v)->all)[i])
#define VEC_SORT(v) vec_sort(v)
#define VEC_IS_SORTED(v) vec_is_sorted(v)
#define VEC_SUM(v) vec_sum(v)
#define VEC_FILLED(v) vec_filled(v)
#define VEC_PREPARE(v) vec_load_cache(v)
#include "tests/bench/workloads.h"

static const char *version()
{
    return stxxl::get_version_string();
}

#if STXXL_THROUGH_PAGE_CACHE
extern "C" const struct contender STXXL_CONTENDER = {
    "stxxl-small",    "R: stxxl with blocks of 4 KiB, through the page cache", version, run,     0.5, 2,
    ~(1u << READING), "differs from stxxl in the size of blocks only",         true,    nullptr,
};
#else
extern "C" const struct contender STXXL_CONTENDER = {
    "stxxl",
    "stxxl::vector on a file: bufwriter, bufreader, a cache of up to a quarter of the memory",
    version,
    run,
    0.5,
    2,
    1u << RESIZE | 1u << READING_BOTH,
    "resize() to less keeps the cache, and one thread at a time may read",
    true,
    nullptr,
};
#endif
