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

    series_add(s, w, (o->limited_mib << 17) / part, (o->limit_mib << 20) / part);
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
            series_add(s, (enum workload)w, info->operations << 17, 0); // of 1 MiB each
        for (size_t i = 0; info->sized && i < o->n_sizes; i++)
            series_add(s, (enum workload)w, o->sizes[i] << 17, 0);
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

int main(int argc, char **argv)
{
    struct test_daemon daemon;
    struct options options;
    struct series series;
    int r = 0;

    options_parse(argc, argv, &options);
    series = (struct series){.contenders = options.contenders,
                             .n_contenders = options.n_contenders,
                             .n_runs = options.n_runs,
                             .settings.dir = test_base_dir()};
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
    report_print(&series);
    report_write_json(&series, options.json);
    if (options.svg)
        r |= report_draw(options.json, options.svg);
    if (anything_failed(&series))
        r = 1;
    series_deinit(&series);
    return r ? 1 : 0;
}
