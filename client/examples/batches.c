// batches: a queue of batches that may be larger than memory, and is consumed once, in order.
//
//     batches [--address ADDRESS] [--batch N] [MILLIONS]
//
// Pushes so many million numbers in batches, then takes them out batch by batch.  This is what the crate swapvec is for
// (https://crates.io/crates/swapvec: push everything, then consume it as an iterator).  The vector needs no threshold
// at which it begins to swap: its pages are the kernel's page cache, which shrinks when others need memory, or when a
// limit says so:
//
//     systemd-run --user --scope -p MemoryMax=64M batches 1000
//
// What was consumed goes back to the disk, and to the quota, at once.  Unlike a file that is read once, the rest can be
// read at any place meanwhile, and more can be pushed.
#include <diskalloc/vec.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/progress.h" // optional: for somebody who waits

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

struct arguments {
    const char *address;
    size_t batch, n;
};

static int fail(void)
{
    fprintf(stderr, "batches: %s\n", diskalloc_last_error());
    return 1;
}

static int parse(int argc, char **argv, struct arguments *ret)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--address") && i + 1 < argc)
            ret->address = argv[++i];
        else if (!strcmp(argv[i], "--batch") && i + 1 < argc)
            ret->batch = strtoul(argv[++i], NULL, 10);
        else if (argv[i][0] != '-')
            ret->n = strtoul(argv[i], NULL, 10) * 1000000;
        else
            return -1;
    }
    return ret->batch > 0 && ret->n > 0 ? 0 : -1;
}

static uint64_t number(uint64_t i)
{
    return i * i;
}

static int push_batch(struct numbers *v, size_t n)
{
    uint64_t *first = NULL;
    int r = numbers_append_uninit(v, n, &first);

    for (size_t k = 0; r == 0 && first && k < n; k++)
        first[k] = number(v->len - n + k);
    return r;
}

static uint64_t take_batch(const struct numbers *v, size_t from, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = from; i < from + n; i++)
        sum += v->data[i];
    return sum;
}

static int fill(struct numbers *v, const struct arguments *a)
{
    struct progress p;
    int r = 0;

    progress_begin(&p, "pushing", a->n * sizeof *v->data);
    while (r == 0 && v->len < a->n) {
        r = push_batch(v, a->n - v->len < a->batch ? a->n - v->len : a->batch);
        progress_show(&p, v->len * sizeof *v->data);
    }
    progress_end(&p);
    return r;
}

static int consume(struct numbers *v, const struct arguments *a, uint64_t *ret_sum)
{
    struct progress p;
    int r = 0;

    progress_begin(&p, "consuming", v->len * sizeof *v->data);
    for (size_t at = 0; r == 0 && at < v->len; at += a->batch) {
        size_t n = v->len - at < a->batch ? v->len - at : a->batch;

        *ret_sum += take_batch(v, at, n);
        r = numbers_discard_front(v, at + n);
        progress_show(&p, (at + n) * sizeof *v->data);
    }
    progress_end(&p);
    return r;
}

static int run(struct diskalloc *da, const struct arguments *a)
{
    uint64_t sum = 0;
    struct numbers v;
    int r = numbers_init(&v, da);

    if (r < 0)
        return fail();
    r = fill(&v, a);
    if (r == 0)
        r = consume(&v, a, &sum);
    if (r == 0)
        printf("%zu numbers, sum %llu\n", v.len, (unsigned long long)sum);
    numbers_deinit(&v);
    return r < 0 ? fail() : 0;
}

int main(int argc, char **argv)
{
    struct arguments a = {.batch = (size_t)32 * 1024, .n = 10000000};
    struct diskalloc *da;
    int status;

    if (parse(argc, argv, &a) < 0) {
        fprintf(stderr, "usage: batches [--address ADDRESS] [--batch N] [MILLIONS]\n");
        return 2;
    }
    if (diskalloc_open(a.address, NULL, &da) < 0)
        return fail();
    status = run(da, &a);
    diskalloc_close(da);
    return status;
}
