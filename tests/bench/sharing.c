// Sharing a region through a daemon: attaching to it against creating one of its size, and how long the news of a
// resize takes to 1,000 other connections that have it attached.  Rounds alternate; medians, and the least and the
// most; no test.
#include <diskalloc/client.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/lib/harness.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_daemon.h"

enum {
    ROUNDS = 9,
    REGIONS = 500,    // a round
    ATTACHERS = 1000, // of one region
    SIZE = 1 << 20,
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const char *name, double *values, const char *unit)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    printf("%-40s %8.1f %s (%.1f to %.1f)\n", name, values[ROUNDS / 2], unit, values[0], values[ROUNDS - 1]);
}

static void must(int r)
{
    if (r < 0) {
        fprintf(stderr, "diskalloc-bench-sharing: %s\n", diskalloc_last_error());
        exit(1);
    }
}

// us for each of REGIONS creations of SIZE bytes by DA, and for as many attachments by another client.
static void create_and_attach(struct diskalloc *da, struct diskalloc *other, double *ret_create, double *ret_attach)
{
    static struct diskalloc_region *made[REGIONS], *attached[REGIONS];
    struct diskalloc_region_options options = DISKALLOC_REGION_OPTIONS_INIT;
    double begin = now_us();

    options.size = SIZE;
    options.reserve = SIZE; // a thousand of 512 GiB find no room in the address space
    for (int i = 0; i < REGIONS; i++)
        must(diskalloc_region_create(da, &options, &made[i]));
    *ret_create = (now_us() - begin) / REGIONS;
    begin = now_us();
    for (int i = 0; i < REGIONS; i++)
        must(diskalloc_region_attach(other, diskalloc_region_handle(made[i]), &options, &attached[i]));
    *ret_attach = (now_us() - begin) / REGIONS;
    for (int i = 0; i < REGIONS; i++) {
        diskalloc_region_close(attached[i]);
        diskalloc_region_close(made[i]);
    }
}

static void expect(int code)
{
    if (code != RAW_CODE(OK)) {
        fprintf(stderr, "diskalloc-bench-sharing: the daemon refuses: %d\n", code);
        exit(1);
    }
}

static void attach(struct raw *c, const char *socket, const struct raw_handle *h)
{
    Diskalloc__V1__AttachRegion body = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    expect(raw_open_with(c, socket, DISKALLOC__V1__FEATURE__FEATURE_SHARING));
    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &body;
    expect(raw_done(c, &q));
}

// ms from a request to grow the region until its news lie in every attacher's socket.
static double news_of_a_grow(struct raw *owner, struct raw *attachers, const struct raw_handle *h, uint64_t size)
{
    double begin = now_us(), end;

    if (!raw_send_grow(owner, h, size, 0))
        exit(1);
    for (int i = 0; i < ATTACHERS; i++) {
        struct pollfd readable = {.fd = attachers[i].sock, .events = POLLIN};

        if (poll(&readable, 1, 60000) != 1)
            exit(1);
    }
    end = now_us();
    raw_free(raw_answer(owner));
    for (int i = 0; i < ATTACHERS; i++)
        while (raw_has_reply(&attachers[i]))
            raw_free(raw_receive(&attachers[i]));
    return (end - begin) / 1e3;
}

int main(void)
{
    static struct raw attachers[ATTACHERS];
    double create[ROUNDS], attaching[ROUNDS], ratio[ROUNDS], news[ROUNDS];
    struct diskalloc *da = NULL, *other = NULL;
    const struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct rlimit files;
    struct raw owner;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    test_daemon_start(&d, "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 2000\n", NULL);
    must(diskalloc_open(d.address, NULL, &da));
    must(diskalloc_open(d.address, NULL, &other));
    expect(raw_open(&owner, d.socket));
    expect(raw_create(&owner, &h, SIZE));
    for (int i = 0; i < ATTACHERS; i++)
        attach(&attachers[i], d.socket, &h);
    for (int i = 0; i < ROUNDS; i++) {
        create_and_attach(da, other, &create[i], &attaching[i]);
        ratio[i] = attaching[i] / create[i];
        news[i] = news_of_a_grow(&owner, attachers, &h, (uint64_t)(i + 2) * SIZE);
    }
    print("create 1 MiB", create, "us");
    print("attach", attaching, "us");
    print("attach / create", ratio, "times as long");
    print("a resize, until 1,000 attachers know it", news, "ms");
    for (int i = 0; i < ATTACHERS; i++)
        raw_close(&attachers[i]);
    raw_close(&owner);
    diskalloc_close(other);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
    return 0;
}
