// Shared by grow.c (a grow alone) and grow_others.c (a grow beside others): series of times, and one grow.
#pragma once
#include "tests/lib/harness.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_daemon.h"

#include <time.h>

enum { BLOCKS = 8, PER_BLOCK = 500, SAMPLES = BLOCKS * PER_BLOCK };

#define NEED(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

struct series {
    double *at;
    size_t n, size;
};

static inline double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline void add(struct series *s, double value)
{
    if (s->n == s->size) {
        s->size = s->size ? 2 * s->size : SAMPLES;
        s->at = realloc(s->at, s->size * sizeof *s->at);
        NEED(s->at);
    }
    s->at[s->n++] = value;
}

static inline int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double part(struct series *s, double quantile)
{
    NEED(s->n > 0);
    qsort(s->at, s->n, sizeof *s->at, compare);
    return s->at[(size_t)((double)(s->n - 1) * quantile)];
}

static inline void forget(struct series *s)
{
    free(s->at);
    *s = (struct series){0};
}

struct packet {
    uint8_t bytes[64];
    size_t n;
};

// The client pays for packing the request, and for unpacking the reply.
static inline void pack_grow(struct raw *c, const struct raw_handle *h, uint64_t size, struct packet *ret)
{
    Diskalloc__V1__GrowRegion body = DISKALLOC__V1__GROW_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    q.id = ++c->last_id;
    q.body_case = RAW_BODY(GROW_REGION);
    q.grow_region = &body;
    NEED(diskalloc__v1__request__get_packed_size(&q) <= sizeof ret->bytes);
    ret->n = diskalloc__v1__request__pack(&q, ret->bytes);
}

static inline void grow_once(struct raw *c, const struct raw_handle *h, uint64_t size, struct series *s)
{
    struct packet p;
    uint8_t bytes[256];
    double begin;

    pack_grow(c, h, size, &p);
    begin = now_us();
    NEED(send(c->sock, p.bytes, p.n, 0) == (ssize_t)p.n && recv(c->sock, bytes, sizeof bytes, 0) > 0);
    add(s, now_us() - begin);
}

extern long rate; // grows a second of all the busy ones together; 0: as many as they can

void measure_busy(const struct test_daemon *d, struct raw *c, long n);
void measure_freeing(const struct test_daemon *d, struct raw *c, long gib);
