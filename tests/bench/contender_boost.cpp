// Boost.Interprocess: a mapped_region over the whole file, made anew at each doubling.  managed_mapped_file has to be
// unmapped by everybody to grow and then copies in its own allocator; this is the faster of the two, and documented.
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/version.hpp>
#include <fcntl.h>
#include <memory>
#include <stdio.h>
#include <unistd.h>

#include "tests/bench/bench.h"

namespace ipc = boost::interprocess;

struct vec {
    uint64_t *data;
    size_t len, cap;
    ipc::file_mapping *file;
    ipc::mapped_region *region;
};

static void set_capacity(struct vec *v, size_t cap)
{
    delete v->region;
    v->region = nullptr;
    if (ftruncate(v->file->get_mapping_handle().handle, (off_t)(cap * sizeof *v->data)) < 0)
        bench_die("ftruncate");
    v->region = new ipc::mapped_region(*v->file, ipc::read_write, 0, cap * sizeof *v->data);
    v->data = static_cast<uint64_t *>(v->region->get_address());
    v->cap = cap;
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s/bench-boost-XXXXXX", s->dir);
    fd = mkstemp(path);
    if (fd < 0)
        bench_die(path);
    close(fd);
    *v = vec();
    v->file = new ipc::file_mapping(path, ipc::read_write);
    unlink(path);
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
    delete v->region;
    delete v->file;
}

#include "tests/bench/workloads.h"

static const char *version()
{
    return BOOST_LIB_VERSION;
}

extern "C" const struct contender contender_boost = {
    "boost", "Boost.Interprocess: mapped_region over the file, made anew at each doubling (the address changes)",
    version, run,
    0,       1,
    0,       nullptr,
    false,   nullptr,
};
