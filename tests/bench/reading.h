// R1 to R4 and R4B: more numbers than memory holds are read.  Compiled into each contender by workloads.h, whose head
// names the macros.  A result is the time for one read, or for one MB of a scan: with several threads, of all together.
#pragma once
#include <pthread.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { ANNOUNCED = 1024, SCAN_PIECE = 32768 };
#define READING_WARM_UP (2.0 / 3) // of the time that is measured
#define READING_SCAN_MOST 2.0     // times that time, if the whole vector takes longer
#define READING_MIX UINT64_C(0x9E3779B97F4A7C15)

struct reader {
    struct vec *v;
    uint64_t random, sum; // what was read is summed up, so that it is used
    size_t places[2][ANNOUNCED];
    size_t turn; // of the batches that were announced
};

static size_t next_place(struct reader *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (size_t)(((unsigned __int128)r->random * r->v->len) >> 64);
}

static void read_some(struct reader *r, size_t n)
{
    for (size_t k = 0; k < n; k++)
        r->sum += VEC_READ(r->v, next_place(r));
}

static void update_some(struct reader *r, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        uint64_t *number = &VEC_AT(r->v, next_place(r));

        *number += 1;
    }
}

// As a program does that decides by the old value: the first access to a page is a read.
static void look_at_some(struct reader *r, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        uint64_t *number = &VEC_AT(r->v, next_place(r)), old = *(volatile uint64_t *)number;

        *number = old + 1;
    }
}

#ifdef VEC_ANNOUNCE
// The next batch is announced before this one is read.
static void read_batches(struct reader *r, size_t n)
{
    for (size_t k = 0; k < n; k++, r->turn++) {
        size_t *next = r->places[(r->turn + 1) % 2], *now = r->places[r->turn % 2];

        for (size_t i = 0; i < ANNOUNCED; i++)
            next[i] = next_place(r);
        VEC_ANNOUNCE(r->v, next, ANNOUNCED);
        for (size_t i = 0; r->turn > 0 && i < ANNOUNCED; i++)
            r->sum += VEC_READ(r->v, now[i]);
    }
}
#endif

// Returns the seconds of one use.  The clock is read about once a millisecond.
static double use_for(struct reader *r, void (*use)(struct reader *, size_t), double seconds)
{
    double start = bench_now(), now = start;
    size_t n = 1, done = 0;

    while (now - start < seconds) {
        double before = now;

        use(r, n);
        done += n;
        now = bench_now();
        if (now - before < 1e-3)
            n *= 2;
        else if (now - before > 1e-2 && n > 1)
            n /= 2;
    }
    return (now - start) / (double)done;
}

struct reading_thread {
    pthread_t id;
    struct reader reader;
    void (*use)(struct reader *, size_t);
    double seconds, each;
};

static void *reading_thread_main(void *data)
{
    struct reading_thread *t = (struct reading_thread *)data;

    use_for(&t->reader, t->use, t->seconds * READING_WARM_UP);
    t->each = use_for(&t->reader, t->use, t->seconds);
    bench_use(t->reader.sum);
    return NULL;
}

static double read_by_threads(struct vec *v, const struct bench_settings *s, void (*use)(struct reader *, size_t))
{
    static struct reading_thread threads[MOST_READERS];
    size_t n = s->threads;
    double rate = 0;

    for (size_t i = 0; i < n; i++) {
        memset(&threads[i], 0, sizeof threads[i]);
        threads[i].reader.v = v;
        threads[i].reader.random = 88172645463325252 + i * READING_MIX;
        threads[i].use = use;
        threads[i].seconds = s->read_seconds;
        if (n > 1 && pthread_create(&threads[i].id, NULL, reading_thread_main, &threads[i]) != 0)
            bench_die("a thread");
    }
    if (n == 1)
        reading_thread_main(&threads[0]);
    for (size_t i = 0; i < n; i++) {
        if (n > 1)
            pthread_join(threads[i].id, NULL);
        rate += 1 / threads[i].each;
    }
    return 1 / rate;
}

#ifdef VEC_PLAIN
// Of a plain array, as far as the scan comes in the time that it has.
static double scan_one_mb(struct vec *v, const volatile bool *stop, double seconds)
{
    double start = bench_now(), now = start;
    size_t at = 0, done = 0;
    uint64_t sum = 0;

    do {
        size_t n = v->len - at < SCAN_PIECE ? v->len - at : (size_t)SCAN_PIECE;

        for (size_t i = 0; i < n; i++)
            sum += v->data[at + i];
        done += n;
        at = at + n == v->len ? 0 : at + n;
        now = bench_now();
    } while (stop ? !*stop : at > 0 && now - start < seconds);
    bench_use(sum);
    return (now - start) / ((double)done * 8e-6);
}
#else
static double scan_one_mb(struct vec *v, const volatile bool *stop, double seconds)
{
    double start = bench_now();

    (void)stop, (void)seconds;
    bench_use(VEC_SUM(v));
    return (bench_now() - start) / ((double)v->len * 8e-6);
}
#endif

// In this order: each part begins with what the one before has left in memory, as in a program with phases.
static void read_in_parts(struct vec *v, const struct bench_settings *s, struct bench_result *ret)
{
    bool wanted[N_PARTS];

    for (int i = 0; i < N_PARTS; i++)
        wanted[i] = s->parts & 1u << i;
    if (wanted[READ_SCAN])
        ret->part[READ_SCAN] = scan_one_mb(v, NULL, s->read_seconds * READING_SCAN_MOST);
    VEC_READING(v);
    if (wanted[READ_RANDOM] || wanted[READ_SCAN_AFTER]) {
        double each = read_by_threads(v, s, read_some);

        ret->part[READ_RANDOM] = wanted[READ_RANDOM] ? each : 0;
    }
    if (wanted[READ_SCAN_AFTER])
        ret->part[READ_SCAN_AFTER] = scan_one_mb(v, NULL, s->read_seconds * READING_SCAN_MOST);
    if (wanted[READ_UPDATE])
        ret->part[READ_UPDATE] = read_by_threads(v, s, update_some);
    if (wanted[READ_LOOK])
        ret->part[READ_LOOK] = read_by_threads(v, s, look_at_some);
#ifdef VEC_ANNOUNCE
    if (wanted[READ_ANNOUNCED])
        ret->part[READ_ANNOUNCED] = read_by_threads(v, s, read_batches) / ANNOUNCED;
#endif
}

static void reading(const struct bench_settings *s, struct bench_result *ret)
{
    struct vec v;

    vec_init(&v, s);
    fill(&v, s->n);
    bench_sync(s->dir);
    read_in_parts(&v, s, ret);
    vec_drop(&v);
}

#ifdef VEC_PLAIN
struct scanning {
    struct vec *v;
    volatile bool stop;
    double each;
};

static void *scan_until_stopped(void *data)
{
    struct scanning *scanning = (struct scanning *)data;

    scanning->each = scan_one_mb(scanning->v, &scanning->stop, 0);
    return NULL;
}

// Two vectors of half the size: the scan begins first, and is measured with its beginning.
static void reading_both(const struct bench_settings *s, struct bench_result *ret)
{
    static struct vec v[2];
    static struct reader reader;
    struct scanning scanning;
    pthread_t thread;

    for (int i = 0; i < 2; i++) {
        vec_init(&v[i], s);
        fill(&v[i], s->n / 2);
    }
    bench_sync(s->dir);
    VEC_READING(&v[1]);
    scanning.v = &v[0];
    scanning.stop = false;
    reader.v = &v[1];
    reader.random = READING_MIX;
    if (pthread_create(&thread, NULL, scan_until_stopped, &scanning) != 0)
        bench_die("a thread");
    use_for(&reader, read_some, s->read_seconds * READING_WARM_UP);
    ret->part[0] = use_for(&reader, read_some, s->read_seconds);
    bench_use(reader.sum);
    scanning.stop = true;
    pthread_join(thread, NULL);
    ret->part[1] = scanning.each;
    for (int i = 0; i < 2; i++)
        vec_drop(&v[i]);
}
#else
static void reading_both(const struct bench_settings *s, struct bench_result *ret)
{
    (void)s, (void)ret;
    bench_die("no plain array");
}
#endif
