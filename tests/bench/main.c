// diskalloc-bench [OPTION…]: one alternating series.  Quote ratios of medians, never a time: README.md.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/bench/thp.h"
#include "tests/bench/where.h"
#include "tests/bench/workload.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void bench_die(const char *what)
{
    fprintf(stderr, "diskalloc-bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void add_limited(struct series *s, enum workload w, const struct options *o)
{
    size_t part = workload_infos[w].part_of_limited ? workload_infos[w].part_of_limited : 1;
    size_t n_threads = w == READING ? o->n_threads : 1;

    for (size_t i = 0; i < o->n_limited; i++)
        for (size_t t = 0; t < n_threads; t++)
            series_add(s, w, (o->limited[i] << 17) / part, (o->limit_mib << 20) / part,
                       w == READING ? o->threads[t] : 1);
}

static void plan(struct series *s, const struct options *o)
{
    for (int w = 0; w < WORKLOAD_N; w++) {
        const struct workload_info *info = &workload_infos[w];

        if (!o->workloads[w])
            continue;
        if (info->limited)
            add_limited(s, (enum workload)w, o);
        else if (!info->sized)
            series_add(s, (enum workload)w, info->operations << 17, 0, 1); // of 1 MiB each
        for (size_t i = 0; info->sized && i < o->n_sizes; i++)
            series_add(s, (enum workload)w, o->sizes[i] << 17, 0, 1);
    }
}

static bool anything_failed(const struct series *s)
{
    for (size_t i = 0; i < s->n_points; i++)
        for (size_t c = 0; c < s->n_contenders; c++)
            if (series_outcome(s, &s->points[i], c) >= OUTCOME_TIMEOUT)
                return true;
    return false;
}

// Somebody else's signal, or a fault: the harness is content with a status of 0.
static bool has_ended(const struct test_daemon *daemon)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)daemon->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

// Room for the largest vector and what contenders need beside it: GNU sort takes seven times its vector, half of the
// largest.
static uint64_t bytes_of_disk(const struct options *o)
{
    uint64_t most = 0;

    for (size_t i = 0; i < o->n_sizes; i++)
        most = o->sizes[i] > most ? o->sizes[i] : most;
    for (size_t i = 0; i < o->n_limited; i++)
        most = o->limited[i] > most ? o->limited[i] : most;
    return (most * 4 + 2048) << 20;
}

static void prepare_machine(const struct options *o, struct test_mount *mount, struct thp *thp)
{
    int r;

    if (o->on && !where_make(mount, o->on, bytes_of_disk(o)))
        exit(1);
    r = o->thp ? thp_set(thp, THP_FILE, o->thp) : 0;
    if (r < 0) {
        errno = -r;
        bench_die(THP_FILE);
    }
}

int main(int argc, char **argv)
{
    struct test_mount mount = {0};
    struct thp thp = {-1};
    struct test_daemon daemon;
    struct options options;
    struct series series;
    json_t *machine;
    int r = 0;

    options_parse(argc, argv, &options);
    prepare_machine(&options, &mount, &thp);
    series = (struct series){.contenders = options.contenders,
                             .n_contenders = options.n_contenders,
                             .n_runs = options.n_runs,
                             .cold = options.cold,
                             .settings.dir = test_base_dir(),
                             .settings.parts = options.parts,
                             .settings.read_seconds = (double)options.read_ms / 1000};
    series.settings.memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    plan(&series, &options);
    test_daemon_start(&daemon, NULL, NULL);
    series.settings.address = daemon.address;
    series_run(&series);
    if (has_ended(&daemon)) {
        fputs("diskalloc-bench: the daemon ended during the series: its numbers are missing\n", stderr);
        r = 1;
    }
    test_daemon_stop_and_remove(&daemon);
    machine = machine_facts(series.settings.dir);
    thp_restore(&thp);
    report_print(&series);
    report_write_json(&series, machine, options.json);
    if (options.svg)
        r |= report_draw(options.json, options.svg);
    if (anything_failed(&series))
        r = 1;
    series_deinit(&series);
    where_remove(&mount);
    return r ? 1 : 0;
}
