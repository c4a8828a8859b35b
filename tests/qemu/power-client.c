// The client of power-loss: commits durably and says so, until the disk fails; afterwards, finds what was said.
#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { PUSHES = 700 };

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, diskalloc_last_error());
    exit(1);
}

static uint64_t mix(uint64_t i)
{
    return (i ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

static struct u64s open_vec(struct diskalloc *da, const char *name, uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct u64s v = {0};

    o.flags = flags;
    if (diskalloc_region_open(da, name, &o, &r) < 0 || u64s_init_region(&v, r) < 0)
        die(name);
    return v;
}

// A line for each commit that is on disk, until one is not.
static void commit_for_ever(struct diskalloc *da)
{
    struct u64s v = open_vec(da, "durable", DISKALLOC_REGION_CREATE);

    for (;;) {
        for (int i = 0; i < PUSHES; i++)
            if (u64s_push(&v, mix(v.len)) < 0)
                return;
        if (u64s_commit(&v, DISKALLOC_DURABLE) < 0)
            return;
        printf("%zu\n", v.len);
        fflush(stdout);
    }
}

// A region that no commit made durable: it may be there or not, and is whole if it is.
static void make_others(struct diskalloc *da)
{
    struct u64s v = open_vec(da, "gone", DISKALLOC_REGION_CREATE);

    if (u64s_push(&v, 1) < 0 || u64s_commit(&v, DISKALLOC_DURABLE) < 0)
        die("gone");
    u64s_deinit(&v);
    if (diskalloc_region_unlink(da, "gone") < 0)
        die("unlink");
    v = open_vec(da, "hasty", DISKALLOC_REGION_CREATE);
    if (u64s_resize(&v, 100000) < 0 || u64s_commit(&v, 0) < 0)
        die("hasty");
    u64s_deinit(&v);
}

static void verify(struct diskalloc *da, size_t n)
{
    struct u64s v = open_vec(da, "durable", 0);

    printf("%zu elements were promised, %zu are there\n", n, v.len);
    if (v.len < n || v.len % PUSHES != 0)
        exit(1);
    for (size_t i = 0; i < v.len; i++)
        if (v.data[i] != mix(i)) {
            printf("element %zu is %llu\n", i, (unsigned long long)v.data[i]);
            exit(1);
        }
    // And it goes on.
    for (int i = 0; i < PUSHES; i++)
        if (u64s_push(&v, mix(v.len)) < 0)
            die("push");
    if (u64s_commit(&v, DISKALLOC_DURABLE) < 0)
        die("commit");
    u64s_deinit(&v);
}

int main(int argc, char **argv)
{
    struct diskalloc *da = NULL;

    if (argc < 3)
        return 2;
    if (diskalloc_open(argv[1], NULL, &da) < 0)
        die(argv[1]);
    if (strcmp(argv[2], "write") == 0) {
        make_others(da);
        commit_for_ever(da);
        return 0; // nothing is given back: the power is off
    }
    verify(da, argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
    diskalloc_close(da);
    return 0;
}
