// See storm.h.
#include "tests/lib/storm.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/util/clock.h"
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"

enum { GROWS = 400, MOST_LINES = 40 };

static void move_apart(void)
{
    const char *cpu = getenv("DISKALLOC_STORM_CPU");
    cpu_set_t set;

    if (!cpu)
        return;
    CPU_ZERO(&set);
    CPU_SET(strtoul(cpu, NULL, 10), &set);
    NEED(sched_setaffinity(0, sizeof set, &set) == 0);
}

static void attack(struct actor *self, void *data)
{
    const struct storm *storm = data;
    struct rlimit files = {4096, 4096};

    setrlimit(RLIMIT_NOFILE, &files);
    move_apart();
    if (storm->prepare)
        storm->prepare();
    actor_done(self);
    for (;;)
        storm->once();
}

static unsigned count_lines(const struct test_daemon *d)
{
    FILE *f = fopen(d->log, "re");
    unsigned n = 0;
    int c;

    assert_non_null(f);
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

// In KiB: the most memory that the daemon has had since reset_peak.
static uint64_t peak_kib(pid_t pid)
{
    char path[64], line[128];
    uint64_t kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %" SCNu64, &kib);
    fclose(f);
    return kib;
}

static void reset_peak(pid_t pid)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)pid);
    f = fopen(path, "we");
    if (f)
        fputs("5", f);
    if (f)
        fclose(f);
}

struct end {
    const struct storm_place *place;
    struct raw admin;
    unsigned n_fds;
};

static bool all_is_given_back(void *data)
{
    struct end *e = data;

    return USAGE_OF(&e->admin, "total", connections) == 1 && USAGE_OF(&e->admin, "total", bytes) == e->place->bytes &&
           USAGE_OF(&e->admin, "total", waiters) == 0;
}

// Files that were kept open are closed a moment later.
static bool has_few_descriptors(void *data)
{
    const struct end *e = data;

    return process_count_fds(e->place->d->pid) <= e->n_fds + 2;
}

static void await_end(const struct storm_place *p, unsigned n_fds)
{
    struct end e = {.place = p, .n_fds = n_fds};
    uint64_t ended_at = clock_now();

    assert_int_equal(raw_open(&e.admin, p->d->socket), RAW_CODE(OK));
    test_wait_until(all_is_given_back, &e, 60, "nothing is charged any more");
    print_message("[ NOTE     ] %" PRIu64 " KiB, and %" PRIu64 " at most; exact after %lu ms; %u lines of log\n",
                  process_rss_kib(p->d->pid), peak_kib(p->d->pid), (unsigned long)(clock_now() - ended_at),
                  count_lines(p->d));
    raw_close(&e.admin);
    test_wait_until(has_few_descriptors, &e, 60, "the daemon has closed what it had opened");
}

void storm_compare(struct storm_place *p)
{
    p->beside_loops = bystander_grow_beside_loops(p->d->socket, (uid_t)-1, 4 * GROWS, STORM_ATTACKERS);
}

static void run(const struct storm_place *p, const struct storm *storm)
{
    struct bystander_times quiet = bystander_grow(p->d->socket, (uid_t)-1, GROWS), meanwhile;
    unsigned n_fds = process_count_fds(p->d->pid), lines = count_lines(p->d);
    struct actor attackers[STORM_ATTACKERS];

    reset_peak(p->d->pid);
    for (int i = 0; i < STORM_ATTACKERS; i++)
        actor_start(&attackers[i], attack, (void *)storm, STORM_FIRST_UID + (uid_t)i);
    for (int i = 0; i < STORM_ATTACKERS; i++)
        actor_await(&attackers[i]);
    bystander_grow(p->d->socket, (uid_t)-1, GROWS);
    meanwhile = bystander_grow(p->d->socket, (uid_t)-1, 4 * GROWS);
    if (p->look)
        p->look();
    for (int i = 0; i < STORM_ATTACKERS; i++)
        actor_kill(&attackers[i]);
    bystander_print(storm->name, quiet, p->beside_loops, meanwhile);
    await_end(p, n_fds);
    assert_in_range(count_lines(p->d) - lines, 0, MOST_LINES);
}

void storms_run(const struct storm_place *p, const struct storm *storms, size_t n)
{
    const char *only = getenv("DISKALLOC_STORM");

    for (size_t i = 0; i < n; i++)
        if (!only || strtoul(only, NULL, 10) == i)
            run(p, &storms[i]);
}
