// Ten thousand small vectors, with a file each from the beginning and without.  Rounds alternate; medians; no test.
//   diskalloc-bench-small [VECTORS [LEAST_KIB [MOST_KIB [ROUNDS]]]]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

#include <diskalloc/vec.h>

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

enum { MOST_ROUNDS = 100, KIB = 1024 };

static size_t n_vectors = 10000, least = 1, most = 16, n_rounds = 5;
static struct numbers *vectors;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int r)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s\n", diskalloc_last_error());
    exit(1);
}

// The KiB of memory that the process has, as the kernel counts it.
static unsigned long memory_kib(const char *field)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field)))
            kib = strtoul(line + strlen(field), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static double run(const char *address, const struct diskalloc_region_options *o, unsigned long *ret_kib)
{
    unsigned long before = memory_kib("RssShmem:") + memory_kib("RssAnon:") + memory_kib("VmPTE:");
    struct diskalloc *da = NULL;
    double begin = now(), took;

    must(diskalloc_open(address, NULL, &da));
    for (size_t i = 0; i < n_vectors; i++) {
        size_t n = (least * KIB + (i * 7919 % 1000) * (most - least) * KIB / 1000) / 8;

        must(o ? numbers_init_with(&vectors[i], da, o) : numbers_init(&vectors[i], da));
        for (size_t k = 0; k < n; k++)
            must(numbers_push(&vectors[i], k));
    }
    *ret_kib = memory_kib("RssShmem:") + memory_kib("RssAnon:") + memory_kib("VmPTE:") - before;
    for (size_t i = 0; i < n_vectors; i++)
        numbers_deinit(&vectors[i]);
    took = now() - begin;
    diskalloc_close(da);
    return took;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void compare_ways(const char *name, const char *address)
{
    const struct diskalloc_region_options o = {.struct_size = sizeof o, .size = 64 * KIB, .mode = 0600};
    double with[MOST_ROUNDS], without[MOST_ROUNDS];
    unsigned long kib_with = 0, kib_without = 0;

    for (size_t i = 0; i < n_rounds; i++) {
        with[i] = run(address, &o, &kib_with);
        without[i] = run(address, NULL, &kib_without);
    }
    qsort(with, n_rounds, sizeof *with, compare);
    qsort(without, n_rounds, sizeof *without, compare);
    printf(
        "%-7s %7.1f us a vector with a file, %6.1f without: %5.1f times as fast; %lu MiB without a file in memory, %lu "
        "MiB beside the files\n",
        name, with[n_rounds / 2] * 1e6 / (double)n_vectors, without[n_rounds / 2] * 1e6 / (double)n_vectors,
        with[n_rounds / 2] / without[n_rounds / 2], kib_without / KIB, kib_with / KIB);
}

static void read_number(const char *text, size_t *ret, size_t limit)
{
    *ret = strtoul(text, NULL, 10);
    if (*ret == 0 || *ret > limit) {
        fprintf(stderr, "usage: diskalloc-bench-small [VECTORS [LEAST_KIB [MOST_KIB [ROUNDS]]]]\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct test_daemon daemon;
    char dir[150], address[176];

    if (argc > 1)
        read_number(argv[1], &n_vectors, 16000);
    if (argc > 2)
        read_number(argv[2], &least, 1 << 20);
    if (argc > 3)
        read_number(argv[3], &most, 1 << 20);
    if (argc > 4)
        read_number(argv[4], &n_rounds, MOST_ROUNDS);
    vectors = calloc(n_vectors, sizeof *vectors);
    if (!vectors)
        return 1;
    test_daemon_start(&daemon, "[daemon]\nkeep_free = 0\n[quota default]\nregions = 100000\n", NULL);
    compare_ways("daemon", daemon.address);
    test_daemon_stop_and_remove(&daemon);
    scratch_make_dir(dir, sizeof dir);
    snprintf(address, sizeof address, "dir:%s", dir);
    compare_ways("dir:", address);
    scratch_remove_tree(dir);
    free(vectors);
    return 0;
}
