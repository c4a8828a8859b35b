// LMDB: numbers in values of 1 MiB, appended with MDB_APPEND | MDB_RESERVE in one write transaction of a MDB_WRITEMAP
// environment, so that a push stores straight into the map; nothing is synced.  A value a number would be far
// slower.  Vectors are named databases of one environment.
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define MAP_BYTES ((size_t)512 << 30)
// a value lies in pages of its own behind a header of 16 bytes
enum { PER_BLOCK = ((1 << 20) - 16) / 8, MOST_VECTORS = 256 };

struct vec {
    uint64_t *block;  // the last one
    size_t used, len; // of it; of all
    size_t n_blocks;
    MDB_dbi dbi;
};

static struct {
    MDB_env *env;
    MDB_txn *txn;
    size_t n_vectors, n_names;
} db;

static void must(int result, const char *call)
{
    if (result != MDB_SUCCESS) {
        fprintf(stderr, "%s: %s\n", call, mdb_strerror(result));
        bench_die("LMDB");
    }
}

static unsigned more_flags;

static void open_environment(const char *dir)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/bench-lmdb-%ld", dir, (long)getpid());
    must(mdb_env_create(&db.env), "mdb_env_create");
    must(mdb_env_set_mapsize(db.env, MAP_BYTES), "mdb_env_set_mapsize");
    must(mdb_env_set_maxdbs(db.env, MOST_VECTORS), "mdb_env_set_maxdbs");
    must(mdb_env_open(db.env, path, MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOLOCK | more_flags,
                      0600),
         "mdb_env_open");
    unlink(path);
    must(mdb_txn_begin(db.env, NULL, 0, &db.txn), "mdb_txn_begin");
}

static void vec_init(struct vec *v, const struct bench_settings *s)
{
    char name[32];

    *v = (struct vec){.used = PER_BLOCK};
    if (db.n_vectors++ == 0)
        open_environment(s->dir);
    snprintf(name, sizeof name, "%zu", db.n_names++);
    must(mdb_dbi_open(db.txn, name, MDB_CREATE | MDB_INTEGERKEY, &v->dbi), "mdb_dbi_open");
}

static uint64_t *reserve_block(const struct vec *v, size_t index, unsigned flags)
{
    MDB_val key = {sizeof index, &index}, value = {PER_BLOCK * 8, NULL};

    must(mdb_put(db.txn, v->dbi, &key, &value, MDB_RESERVE | flags), "mdb_put");
    return value.mv_data;
}

__attribute__((noinline, cold)) static void grow(struct vec *v)
{
    v->block = reserve_block(v, v->n_blocks++, MDB_APPEND);
    v->used = 0;
}

static inline void vec_push(struct vec *v, uint64_t x)
{
    if (__builtin_expect(v->used == PER_BLOCK, 0))
        grow(v);
    v->block[v->used++] = x;
    v->len++;
}

// A put over a value that this transaction wrote reserves the same bytes again: nothing is copied.
static inline uint64_t *vec_at(const struct vec *v, size_t i)
{
    return reserve_block(v, i / PER_BLOCK, 0) + i % PER_BLOCK;
}

static inline uint64_t vec_read(const struct vec *v, size_t i)
{
    size_t index = i / PER_BLOCK;
    MDB_val key = {sizeof index, &index}, value;

    must(mdb_get(db.txn, v->dbi, &key, &value), "mdb_get");
    return ((const uint64_t *)value.mv_data)[i % PER_BLOCK];
}

static uint64_t sum_of(const uint64_t *data, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += data[i];
    return total;
}

static uint64_t vec_sum(const struct vec *v)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t total = 0;

    must(mdb_cursor_open(db.txn, v->dbi, &cursor), "mdb_cursor_open");
    for (size_t left = v->len; left > 0;) {
        size_t n = left < PER_BLOCK ? left : PER_BLOCK;

        must(mdb_cursor_get(cursor, &key, &value, MDB_NEXT), "mdb_cursor_get");
        total += sum_of(value.mv_data, n);
        left -= n;
    }
    mdb_cursor_close(cursor);
    return total;
}

static void vec_resize(struct vec *v, size_t n)
{
    (void)v;
    (void)n;
    bench_die("LMDB gives nothing back");
}

static void vec_drop(struct vec *v)
{
    if (--db.n_vectors > 0) {
        must(mdb_drop(db.txn, v->dbi, 1), "mdb_drop");
        return;
    }
    mdb_txn_abort(db.txn);
    mdb_env_close(db.env);
}

#define VEC_AT(v, i) (*vec_at(v, i))
#define VEC_READ(v, i) vec_read(v, i)
#define VEC_SUM(v) vec_sum(v)
#define VEC_SORT(v) ((void)(v))
#define VEC_IS_SORTED(v) ((void)(v), false)
#include "tests/bench/workloads.h"

static const char *version(void)
{
    return mdb_version(NULL, NULL, NULL);
}

static void run_random(const struct bench_settings *s, enum workload w, struct bench_result *ret)
{
    more_flags = MDB_NORDAHEAD;
    run(s, w, ret);
}

const struct contender contender_lmdb = {
    .name = "lmdb",
    .what = "values of 1 MiB, MDB_WRITEMAP, MDB_APPEND | MDB_RESERVE in one transaction, nothing synced",
    .version = version,
    .run = run,
    .disk = 1,
    .cannot = 1u << RESIZE | 1u << SORT | 1u << SORT_LIMITED | 1u << READING_BOTH,
    .cannot_because = "its file never shrinks, no value is to be sorted, and a transaction is one thread's",
    .one_thread = true,
};

const struct contender contender_lmdb_random = {
    .name = "lmdb-random",
    .what = "R: lmdb with MDB_NORDAHEAD",
    .version = version,
    .run = run_random,
    .disk = 1,
    .cannot = ~(1u << READING),
    .cannot_because = "differs from lmdb in random reading only",
    .one_thread = true,
};
