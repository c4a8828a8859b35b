// join [--address ADDRESS] [MILLIONS [PROBES]]: a hash join of two tables, one of which is larger than memory.
//
// A join finds, for each row of one table, the row of the other one with the same key.  A hash table does that with one
// look a row; but where the hash table does not fit into memory, each look waits for the disk once, and a disk does
// little if it is asked for one thing at a time.  The keys of the coming rows are known, though.  So this program takes
// them in batches, and before it looks up one batch, it announces the next (diskalloc_region_prefetch): the disk reads
// a thousand places side by side, while the processor works.
//
// The hash table is made for the disk too:
//
//   - The rows are sorted by the hash of their keys (rows_sort works beyond memory), and not put to random places one
//     by one, which would read and write a block of the disk for each of them.
//   - Rows with the same first bits of the hash are a bucket, about 2 KiB: one or two pages.  `starts` says where each
//     bucket begins.  It is so small (8 bytes a bucket) that it stays in memory.
//
// The program makes MILLIONS of rows (64 by default, 1 GiB), joins them with PROBES others (a million), with announcing
// and without in turn, and prints how many times as fast announcing is.  Where memory holds all rows it is of no use.
//
//     systemd-run --user --scope -p MemoryMax=256M join
#include <diskalloc/vec.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/progress.h" // optional: for somebody who waits

struct row {
    uint64_t key, value;
};
static inline uint64_t hash(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15; // neighbours go far apart
    return key ^ key >> 29;
}
static inline int row_less(const struct row *a, const struct row *b)
{
    return hash(a->key) < hash(b->key);
}
DISKALLOC_VEC_DEFINE(rows, struct row)
DISKALLOC_VEC_DEFINE_ORDER(rows, struct row, row_less)
DISKALLOC_VEC_DEFINE(starts, uint64_t)

enum {
    BUCKET = 128,     // rows, on average
    BATCH = 1024,     // probes that are announced at a time
    ANNOUNCED = 4096, // bytes, from the beginning of a bucket on
    ROUNDS = 3,
};

struct table {
    struct rows rows;
    struct starts starts; // bucket i is the rows from starts[i] to starts[i + 1]
    unsigned bits;        // there are 2^bits buckets
};

static size_t bucket_of(const struct table *t, uint64_t key)
{
    return t->bits > 0 ? hash(key) >> (64 - t->bits) : 0;
}

// The even keys below 2 N, with their squares.
static int fill(struct table *t, uint64_t n)
{
    struct progress p;
    int r = rows_reserve(&t->rows, n);

    progress_begin(&p, "making rows", n * sizeof(struct row));
    for (uint64_t i = 0; r == 0 && i < n; i++) {
        r = rows_push(&t->rows, (struct row){2 * i, 4 * i * i});
        if (i % 65536 == 0)
            progress_show(&p, i * sizeof(struct row));
    }
    progress_end(&p);
    return r;
}

static int build(struct table *t, uint64_t n)
{
    int r = fill(t, n);

    while (n >> t->bits > BUCKET)
        t->bits++;
    if (r == 0)
        r = rows_sort(&t->rows);
    for (size_t i = 0; r == 0 && i < n; i++)
        while (r == 0 && t->starts.len <= bucket_of(t, t->rows.data[i].key))
            r = starts_push(&t->starts, i);
    while (r == 0 && t->starts.len <= (size_t)1 << t->bits)
        r = starts_push(&t->starts, n);
    return r;
}

static const struct row *find(const struct table *t, uint64_t key)
{
    size_t bucket = bucket_of(t, key);

    for (uint64_t i = t->starts.data[bucket]; i < t->starts.data[bucket + 1]; i++)
        if (t->rows.data[i].key == key)
            return &t->rows.data[i];
    return NULL;
}

// A hint: where it fails, the looks are slower, and right.
static void announce(const struct table *t, const uint64_t *keys, size_t n)
{
    uint64_t places[BATCH], size = diskalloc_region_size(t->rows.region);

    if (size < ANNOUNCED)
        return;
    for (size_t i = 0; i < n; i++) {
        places[i] = t->starts.data[bucket_of(t, keys[i])] * sizeof(struct row);
        places[i] = places[i] < size - ANNOUNCED ? places[i] : size - ANNOUNCED;
    }
    diskalloc_region_prefetch(t->rows.region, places, n, ANNOUNCED);
}

struct joined {
    uint64_t n, sum; // of the rows that were found
};

// The other table: a real program reads its rows here.  Half of the keys are odd, and have no partner.  EXPECTED grows
// by what has to be found.
static void read_batch(uint64_t *keys, size_t n, uint64_t below, uint64_t *random, struct joined *expected)
{
    for (size_t i = 0; i < n; i++) {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        keys[i] = *random % below;
        if (keys[i] % 2 == 0) {
            expected->n++;
            expected->sum += keys[i] * keys[i];
        }
    }
}

static void look_up(const struct table *t, const uint64_t *keys, size_t n, struct joined *found)
{
    for (size_t i = 0; i < n; i++) {
        const struct row *row = find(t, keys[i]);

        found->n += row != NULL;
        found->sum += row ? row->value : 0;
    }
}

// False: something was not found, or wrongly.
static bool join(const struct table *t, uint64_t n_probes, bool announcing, uint64_t *random)
{
    struct joined expected = {0}, found = {0};
    uint64_t keys[2][BATCH], below = 2 * t->rows.len;
    size_t now = 0;

    read_batch(keys[0], BATCH, below, random, &expected);
    if (announcing)
        announce(t, keys[0], BATCH);
    for (uint64_t done = BATCH; done < n_probes; done += BATCH) {
        read_batch(keys[!now], BATCH, below, random, &expected);
        if (announcing)
            announce(t, keys[!now], BATCH);
        look_up(t, keys[now], BATCH, &found);
        now = !now;
    }
    look_up(t, keys[now], BATCH, &found);
    return found.n == expected.n && found.sum == expected.sum;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const struct table *t, uint64_t n_probes)
{
    uint64_t random = 88172645463325252; // other keys each time: what was read once must not help
    double took[2] = {0};

    for (int round = 0; round < 2 * ROUNDS; round++) {
        double begun = seconds();

        if (!join(t, n_probes, round % 2, &random)) {
            fprintf(stderr, "join: the result is wrong\n");
            return 1;
        }
        took[round % 2] += seconds() - begun;
    }
    printf("%zu rows, %d times %" PRIu64 " probes, each found what it should\n", t->rows.len, 2 * ROUNDS, n_probes);
    printf("without announcing %.0f probes a second, with it %.0f: %.1f times as fast\n",
           (double)(ROUNDS * n_probes) / took[0], (double)(ROUNDS * n_probes) / took[1], took[0] / took[1]);
    return 0;
}

static int run(struct diskalloc *da, uint64_t n_rows, uint64_t n_probes)
{
    struct table t = {0};
    int status;

    if (rows_init(&t.rows, da) < 0 || starts_init(&t.starts, da) < 0 || build(&t, n_rows) < 0) {
        fprintf(stderr, "join: %s\n", diskalloc_last_error());
        status = 1;
    } else
        status = compare(&t, n_probes);
    rows_deinit(&t.rows);
    starts_deinit(&t.starts);
    return status;
}

int main(int argc, char **argv)
{
    const char *address = NULL;
    uint64_t numbers[2] = {64, 1000000};
    struct diskalloc *da;
    int status, n = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--address") && i + 1 < argc)
            address = argv[++i];
        else if (n < 2)
            numbers[n++] = strtoull(argv[i], NULL, 10);
        else
            numbers[0] = 0;
    }
    if (numbers[0] == 0 || numbers[0] > 1 << 20 || numbers[1] == 0) {
        fprintf(stderr, "usage: join [--address ADDRESS] [MILLIONS [PROBES]]\n");
        return 2;
    }
    if (diskalloc_open(address, NULL, &da) < 0) {
        fprintf(stderr, "join: %s\n", diskalloc_last_error());
        return 1;
    }
    status = run(da, numbers[0] * 1000000, (numbers[1] + BATCH - 1) / BATCH * BATCH);
    diskalloc_close(da);
    return status;
}
