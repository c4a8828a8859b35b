// Everything that was measured, for programs: charts.py is one.
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/report.h"
#include "tests/bench/workload.h"

static const char *const outcome_names[] = {"ok", "unsupported", "skipped", "killed", "timeout", "failed"};

static json_t *seconds_of(const struct series *s, const struct point *p, size_t contender, int part)
{
    json_t *seconds = json_array();

    for (size_t run = 0; run < p->n_runs; run++)
        if (p->results[contender * p->n_runs + run].outcome == OUTCOME_OK)
            json_array_append_new(seconds, json_real(series_seconds(s, p, contender, run, part)));
    return seconds;
}

static json_t *part_of(const struct series *s, const struct point *p, size_t contender, int part)
{
    const struct workload_info *w = &workload_infos[p->workload];
    enum outcome outcome = series_outcome(s, p, contender);
    struct statistic st = {0};

    if (outcome == OUTCOME_OK)
        st = series_statistic(s, p, contender, part);
    return json_pack("{s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s?, s:f, s:f, s:f, s:f, s:o}",
                     "workload", w->id, "part", part == PART_ALL ? "all" : w->part[part], "title", w->title, "rate",
                     part == PART_ALL ? NULL : w->rate[part], "bytes", (json_int_t)p->n * 8, "operations",
                     (json_int_t)workload_operations(p->workload, p->n), "memory_limit", (json_int_t)p->limit,
                     "threads", (json_int_t)p->threads, "runs", (json_int_t)p->n_runs, "contender",
                     s->contenders[contender]->name, "outcome", outcome_names[outcome], "note", p->notes[contender],
                     "median", st.median, "ratio", st.ratio, "ratio_least", st.ratio_least, "ratio_most", st.ratio_most,
                     "seconds", seconds_of(s, p, contender, part));
}

static json_t *results_of(const struct series *s)
{
    json_t *results = json_array();

    for (const struct point *p = s->points; p < s->points + s->n_points; p++)
        for (int part = PART_ALL; part < N_PARTS; part++)
            for (size_t c = 0; c < s->n_contenders; c++)
                if (series_has_part(s, p, part))
                    json_array_append_new(results, part_of(s, p, c, part));
    return results;
}

static json_t *contenders_of(const struct series *s)
{
    json_t *all = json_array();

    for (size_t c = 0; c < s->n_contenders; c++) {
        const struct contender *x = s->contenders[c];

        json_array_append_new(all, json_pack("{s:s, s:s, s:s?}", "name", x->name, "what", x->what, "version",
                                             x->version ? x->version() : NULL));
    }
    return all;
}

void report_write_json(const struct series *s, json_t *machine, const char *path)
{
    json_t *all =
        json_pack("{s:i, s:s, s:o, s:s, s:o, s:o}", "version", 3, "diskalloc", DISKALLOC_VERSION, "machine", machine,
                  "compared_with", s->contenders[0]->name, "contenders", contenders_of(s), "results", results_of(s));

    if (!all || json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
        bench_die(path);
    json_decref(all);
    printf("\nall numbers: %s\n", path);
}

int report_draw(const char *json, const char *dir)
{
    char *const argv[] = {"python3", "-B", BENCH_CHARTS, "--svg", (char *)dir, (char *)json, NULL};
    int status;
    pid_t pid;

    fflush(NULL);
    errno = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    if (errno || waitpid(pid, &status, 0) < 0) {
        perror("python3");
        return -1;
    }
    return status == 0 ? 0 : -1;
}
