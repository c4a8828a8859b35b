// `diskallocctl selftest`: does what programs do, with a region of its own, through the library: connects, grows,
// stores, reads, shares, shrinks and drops, and says how fast that is.  Any user may run it; it leaves nothing behind.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/ctl/address.h"
#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "include/diskalloc/client.h"
#include "proto/util/clock.h"
#include "proto/util/size.h"

enum {
    GIVEN_BACK_MS = 10 * 1000, // the daemon removes what was closed when the kernel lets it
    RECONNECT_MS = 5 * 1000,
};

// A step that was tried.
struct step {
    const char *name;
    bool done;
    uint64_t us;      // microseconds that it took
    uint64_t bytes;   // 0: the step is not about bytes
    char why[512];    // of a failure
    const char *next; // what to do then
};

struct selftest {
    const char *address;
    uint64_t size;
    struct diskalloc *da;
    struct diskalloc_region *region, *reader;
    uint64_t regions_before;
    struct step steps[16];
    int n;
};

static void on_io_error(struct diskalloc_region *r, uint64_t offset, void *data)
{
    (void)r;
    (void)offset;
    *(volatile int *)data = 1;
}

static volatile int io_errors; // stores and loads under which the disk has failed

// Different in each place, and not what an earlier file might have had there.
static uint64_t pattern(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15;
}

static int fail(struct step *s, int error, const char *what, const char *next)
{
    const char *said = diskalloc_last_error();

    if (*said)
        snprintf(s->why, sizeof(s->why), "%s", said);
    else
        snprintf(s->why, sizeof(s->why), "%s: %s", what, strerror(error < 0 ? -error : error));
    s->next = next;
    return -1;
}

static const char *next_for(int error)
{
    switch (error) {
    case -EDQUOT:
        return "diskallocctl usage shows the limits; an administrator raises them: diskallocctl quota set";
    case -ENOSPC:
        return "diskallocctl status shows the disk; try a smaller --size";
    case -ENOMEM:
        return "ulimit -v limits the address space of programs: raise it";
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ENOENT:
    case -EACCES:
        return "diskallocctl doctor looks for the reason";
    default:
        return "journalctl -u diskallocd and journalctl -k may tell more; so may diskallocctl doctor";
    }
}

static int connect_to(struct selftest *t, struct step *s)
{
    struct diskalloc_options options = DISKALLOC_OPTIONS_INIT;
    struct diskalloc_usage usage = {0};
    int r;

    options.client_name = "diskallocctl selftest";
    options.reconnect_timeout_ms = RECONNECT_MS;
    r = diskalloc_open(t->address, &options, &t->da);
    if (r == 0)
        r = diskalloc_get_usage(t->da, NULL, &usage, sizeof(usage));
    if (r < 0)
        return fail(s, r, "connecting", next_for(r));
    t->regions_before = usage.regions;
    return 0;
}

static int make(struct selftest *t, struct step *s)
{
    struct diskalloc_region_options options = DISKALLOC_REGION_OPTIONS_INIT;
    int r;

    options.size = 4096;
    options.reserve = 2 * t->size > 1 << 30 ? 2 * t->size : 1 << 30;
    r = diskalloc_region_create(t->da, &options, &t->region);
    return r < 0 ? fail(s, r, "making a region", next_for(r)) : 0;
}

static int grow(struct selftest *t, struct step *s)
{
    int r = diskalloc_region_resize(t->region, t->size);

    return r < 0 ? fail(s, r, "growing", next_for(r)) : 0;
}

static int store(struct selftest *t, struct step *s)
{
    uint64_t *data = diskalloc_region_data(t->region);

    s->bytes = t->size;
    for (uint64_t i = 0; i < t->size / sizeof(*data); i++)
        data[i] = pattern(i);
    return 0;
}

static int write_back(struct selftest *t, struct step *s)
{
    int r = diskalloc_region_sync(t->region);

    s->bytes = t->size;
    return r < 0 ? fail(s, r, "writing to the disk", next_for(r)) : 0;
}

static int compare(struct step *s, const uint64_t *data, uint64_t size)
{
    for (uint64_t i = 0; i < size / sizeof(*data); i++) {
        if (data[i] == pattern(i))
            continue;
        snprintf(s->why, sizeof(s->why), "at byte %llu there is something else than was stored",
                 (unsigned long long)i * sizeof(*data));
        s->next = "the disk, or its memory, loses data: see journalctl -k";
        return -1;
    }
    if (!io_errors)
        return 0;
    snprintf(s->why, sizeof(s->why), "the disk reported an error");
    s->next = "see journalctl -k";
    return -1;
}

static int verify(struct selftest *t, struct step *s)
{
    s->bytes = t->size;
    return compare(s, diskalloc_region_data(t->region), t->size);
}

static int attach(struct selftest *t, struct step *s)
{
    struct diskalloc_region_options options = DISKALLOC_REGION_OPTIONS_INIT;
    int r;

    options.flags = DISKALLOC_REGION_READ_ONLY;
    options.reserve = t->size;
    r = diskalloc_region_attach(t->da, diskalloc_region_handle(t->region), &options, &t->reader);
    if (r < 0)
        return fail(s, r, "attaching the region for reading", next_for(r));
    if (compare(s, diskalloc_region_data(t->reader), t->size < 1 << 20 ? t->size : 1 << 20) < 0)
        return -1;
    r = diskalloc_region_resize(t->reader, 4096);
    diskalloc_region_close(t->reader);
    t->reader = NULL;
    if (r == -EROFS)
        return 0;
    snprintf(s->why, sizeof(s->why), "a region that is attached for reading only could be changed");
    s->next = "this is a bug of diskalloc: please report it";
    return -1;
}

static int shrink(struct selftest *t, struct step *s)
{
    int r = diskalloc_region_resize(t->region, 4096);

    if (r < 0)
        return fail(s, r, "shrinking", next_for(r));
    return compare(s, diskalloc_region_data(t->region), 4096);
}

// The daemon gives back what was closed a moment later.
static int drop(struct selftest *t, struct step *s)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    uint64_t deadline = clock_after(GIVEN_BACK_MS);
    struct diskalloc_usage usage = {0};
    int r;

    diskalloc_region_close(t->region);
    t->region = NULL;
    while ((r = diskalloc_get_usage(t->da, NULL, &usage, sizeof(usage))) == 0 && usage.regions > t->regions_before &&
           clock_now() < deadline)
        nanosleep(&pause, NULL);
    if (r < 0)
        return fail(s, r, "asking for the usage", next_for(r));
    // Other programs of this user may have made regions meanwhile.
    return 0;
}

static bool try_step(struct selftest *t, const char *name, int (*run)(struct selftest *t, struct step *s))
{
    struct step *s = &t->steps[t->n++];
    struct timespec begin, end;

    s->name = name;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    s->done = run(t, s) == 0;
    clock_gettime(CLOCK_MONOTONIC, &end);
    s->us = (uint64_t)(end.tv_sec - begin.tv_sec) * 1000000 + (uint64_t)((end.tv_nsec - begin.tv_nsec) / 1000);
    return s->done;
}

static bool try_all(struct selftest *t)
{
    bool fine = try_step(t, "connect", connect_to) && try_step(t, "create", make) && try_step(t, "grow", grow) &&
                try_step(t, "store", store) && try_step(t, "write back", write_back) && try_step(t, "verify", verify) &&
                try_step(t, "attach read-only", attach) && try_step(t, "shrink", shrink) && try_step(t, "drop", drop);

    diskalloc_region_close(t->reader);
    diskalloc_region_close(t->region);
    diskalloc_close(t->da);
    return fine;
}

static uint64_t speed_of(const struct step *s)
{
    return s->bytes && s->us ? (uint64_t)((double)s->bytes / ((double)s->us / 1e6)) : 0;
}

static void print_step(const struct step *s)
{
    char size[SIZE_TEXT_MAX], why[TEXT_MAX];

    printf("%-17s %s", s->name, s->done ? "done" : "FAILED");
    if (s->done)
        printf("  %8.1f ms", (double)s->us / 1000);
    if (s->done && speed_of(s))
        printf("  %8s/s", size_format(speed_of(s), size));
    putchar('\n');
    if (!s->done)
        printf("    %s\n    next: %s\n", text_escape(s->why, strlen(s->why), why), s->next);
}

static int print_json(const struct selftest *t, bool fine)
{
    json_t *steps = json_array();

    for (int i = 0; i < t->n; i++) {
        const struct step *s = &t->steps[i];

        json_array_append_new(steps, json_pack("{ss, sb, sf, so, so, so}", "step", s->name, "done", s->done, "seconds",
                                               (double)s->us / 1e6, "bytes_per_second",
                                               speed_of(s) ? text_json_number(speed_of(s)) : json_null(), "why",
                                               s->done ? json_null() : text_json_bytes(s->why, strlen(s->why)), "next",
                                               s->done ? json_null() : json_string(s->next)));
    }
    return ctl_print_json(json_pack("{sb, ss, so, so}", "passed", fine, "address", t->address, "size",
                                    text_json_number(t->size), "steps", steps));
}

static int print_text(const struct ctl *ctl, const struct selftest *t, bool fine)
{
    char size[SIZE_TEXT_MAX], address[TEXT_MAX];

    printf("%s, with %s\n", text_escape(ctl->address, strlen(ctl->address), address), size_format(t->size, size));
    for (int i = 0; i < t->n; i++)
        print_step(&t->steps[i]);
    if (fine)
        puts("Everything works.");
    return EXIT_DONE;
}

static bool parse_size(const struct ctl *ctl, uint64_t *ret)
{
    char text[TEXT_MAX];

    *ret = 64 << 20;
    if (!ctl->size || (size_parse(ctl->size, ret) == 0 && *ret >= 8192 && *ret <= (uint64_t)1 << 42)) {
        *ret = *ret / 4096 * 4096;
        return true;
    }
    ctl_complain("--size is %s; it takes a size such as 64M or 4G, from 8K to 4T",
                 text_escape(ctl->size, strlen(ctl->size), text));
    return false;
}

int selftest_run(struct ctl *ctl)
{
    struct selftest t = {.address = ctl->address};
    int status;
    bool fine;

    if (!parse_size(ctl, &t.size))
        return EXIT_USAGE;
    // First as every command does: if there is no daemon, the sentence says where to look.
    status = ctl_connect(ctl);
    session_close(&ctl->session);
    if (status != EXIT_DONE)
        return status;
    diskalloc_guard_enable(on_io_error, (void *)&io_errors);
    fine = try_all(&t);
    status = ctl->json ? print_json(&t, fine) : print_text(ctl, &t, fine);
    if (fine || status != EXIT_DONE)
        return status;
    ctl_complain("%s failed: %s", t.steps[t.n - 1].name, t.steps[t.n - 1].why);
    return EXIT_REFUSED;
}
