// W7 as programs do it that keep what they will need once, in order: batches are written to an unnamed file by stdio,
// plain or compressed, and read again.  Each batch has a header of its size.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#ifdef BENCH_LZ4
#include <lz4.h>
#endif

#include "tests/bench/bench.h"

enum { BATCH_BYTES = 32768 * 8, PACKED_MOST = BATCH_BYTES + BATCH_BYTES / 8 + 64 };
enum packing { PLAIN, ZLIB, LZ4 };

struct vec {
    FILE *file;
    uint64_t *data; // the last batch that was read
    size_t len;
    uint8_t packed[PACKED_MOST];
};

static enum packing packing;

static void must(bool succeeded, const char *call)
{
    if (!succeeded)
        bench_die(call);
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    int fd = open(s->dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

    memset(v, 0, sizeof *v);
    must(fd >= 0, s->dir);
    v->file = fdopen(fd, "w+");
    v->data = malloc(BATCH_BYTES);
    must(v->file && v->data, "fdopen");
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    (void)v, (void)x;
    bench_die("only batches are written");
}

// The fastest level of zlib.
static size_t pack(struct vec *v, const uint64_t *numbers, size_t bytes)
{
    uLongf size = PACKED_MOST;

#ifdef BENCH_LZ4
    if (packing == LZ4)
        return (size_t)LZ4_compress_default((const char *)numbers, (char *)v->packed, (int)bytes, PACKED_MOST);
#endif
    must(compress2(v->packed, &size, (const Bytef *)numbers, bytes, Z_BEST_SPEED) == Z_OK, "compress2");
    return size;
}

static size_t unpack(struct vec *v, size_t size)
{
    uLongf bytes = BATCH_BYTES;

#ifdef BENCH_LZ4
    if (packing == LZ4)
        return (size_t)LZ4_decompress_safe((const char *)v->packed, (char *)v->data, (int)size, BATCH_BYTES);
#endif
    must(uncompress((Bytef *)v->data, &bytes, v->packed, size) == Z_OK, "uncompress");
    return bytes;
}

static void vec_extend(struct vec *v, const uint64_t *numbers, size_t n)
{
    uint64_t size = packing == PLAIN ? n * sizeof *numbers : pack(v, numbers, n * sizeof *numbers);
    const void *from = packing == PLAIN ? (const void *)numbers : v->packed;

    must(fwrite(&size, sizeof size, 1, v->file) == 1 && fwrite(from, size, 1, v->file) == 1, "fwrite");
    v->len += n;
}

static void vec_filled(struct vec *v)
{
    must(fflush(v->file) == 0, "fflush");
}

static uint64_t vec_consume(struct vec *v)
{
    uint64_t total = 0, size;

    rewind(v->file);
    for (size_t done = 0; done < v->len;) {
        void *to = packing == PLAIN ? (void *)v->data : v->packed;
        size_t bytes;

        must(fread(&size, sizeof size, 1, v->file) == 1 && size <= PACKED_MOST, "fread");
        must(fread(to, size, 1, v->file) == 1, "fread");
        bytes = packing == PLAIN ? size : unpack(v, size);
        for (size_t i = 0; i < bytes / 8; i++)
            total += v->data[i];
        done += bytes / 8;
    }
    return total;
}

static void vec_resize(struct vec *v, size_t n)
{
    (void)v, (void)n;
    bench_die("a file of batches");
}

static void vec_drop(struct vec *v)
{
    fclose(v->file);
    free(v->data);
}

#define VEC_SUM(v) vec_consume(v)
#define VEC_EXTEND(v, numbers, n) vec_extend(v, numbers, n)
#define VEC_CONSUME(v) vec_consume(v)
#define VEC_FILLED(v) vec_filled(v)
#define VEC_SORT(v) ((void)(v))
#define VEC_IS_SORTED(v) ((void)(v), false)
#include "tests/bench/workloads.h"

static void run_plain(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    packing = PLAIN;
    run(s, w, ret);
}

static void run_zlib(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    packing = ZLIB;
    run(s, w, ret);
}

static const char only_once[] = "reads all, in order, once";

const struct contender contender_stdio = {
    .name = "stdio",
    .what = "W7: batches by fwrite and fread",
    .run = run_plain,
    .disk = 1,
    .cannot = ~(1u << ONCE | 1u << ONCE_SMALL),
    .cannot_because = only_once,
};
const struct contender contender_zlib = {
    .name = "stdio-zlib",
    .what = "W7: batches compressed by zlib at its fastest level, fwrite and fread",
    .version = zlibVersion,
    .run = run_zlib,
    .disk = 1,
    .cannot = ~(1u << ONCE | 1u << ONCE_SMALL),
    .cannot_because = only_once,
};
#ifdef BENCH_LZ4
static void run_lz4(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    packing = LZ4;
    run(s, w, ret);
}

const struct contender contender_lz4 = {
    .name = "stdio-lz4",
    .what = "W7: batches compressed by LZ4, fwrite and fread",
    .version = LZ4_versionString,
    .run = run_lz4,
    .disk = 1,
    .cannot = ~(1u << ONCE | 1u << ONCE_SMALL),
    .cannot_because = only_once,
};
#endif
