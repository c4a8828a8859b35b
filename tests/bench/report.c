// Medians and ratios for people, all numbers and the machine's facts for programs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/bench/bench.h"

enum part { ALL, FIRST, SECOND };

static const struct row {
    enum workload workload;
    enum part part;
    const char *id, *title;
} rows[] = {
    {PUSH_AND_DROP, ALL, "W1", "push one by one, drop"},
    {PUSH_AND_DROP, FIRST, "W1 push", "the pushing alone"},
    {PUSH_AND_DROP, SECOND, "W1 drop", "the dropping alone"},
    {RANDOM_UPDATE, ALL, "W2", "update at random"},
    {SCAN, ALL, "W3", "scan"},
    {RESIZE, ALL, "W4T", "resize to 1 MiB and back, touched"},
    {MANY_SMALL, ALL, "W5", "200 vectors of 1 MiB"},
    {MANY_SMALL, FIRST, "W5 make", "making and filling them alone"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static double part_of(const struct bench_result *r, enum part part)
{
    return part == ALL ? r->seconds : part == FIRST ? r->first : r->second;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(const struct bench_series *s, const struct row *row, size_t contender)
{
    double *seconds = calloc(s->n_runs, sizeof *seconds), middle;

    if (!seconds)
        bench_die("calloc");
    for (size_t run = 0; run < s->n_runs; run++)
        seconds[run] = part_of(bench_series_at(s, row->workload, contender, run), row->part);
    qsort(seconds, s->n_runs, sizeof *seconds, compare);
    middle = (seconds[(s->n_runs - 1) / 2] + seconds[s->n_runs / 2]) / 2;
    free(seconds);
    return middle;
}

static double ratio(const struct bench_series *s, const struct row *row, size_t contender)
{
    double mine = median(s, row, contender);

    return mine > 0 ? median(s, row, 0) / mine : 0;
}

void bench_print_table(const struct bench_series *s)
{
    printf("How many times as fast as %s (medians of %zu runs; higher is better)\n\n| |", s->contenders[0]->name,
           s->n_runs);
    for (size_t c = 0; c < s->n_contenders; c++)
        printf(" %s |", s->contenders[c]->name);
    printf(" %s, seconds |\n|---|", s->contenders[0]->name);
    for (size_t c = 0; c <= s->n_contenders; c++)
        printf("---|");
    printf("\n");
    for (const struct row *row = rows; row < rows + N_ROWS; row++) {
        printf("| %s: %s |", row->id, row->title);
        for (size_t c = 0; c < s->n_contenders; c++)
            printf(" %.3f |", ratio(s, row, c));
        printf(" %.4f |\n", median(s, row, 0));
    }
}

// The first line of FILE after PREFIX.
static json_t *line_of(const char *file, const char *prefix)
{
    FILE *f = fopen(file, "re");
    char line[512];
    json_t *text = NULL;

    while (f && !text && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, prefix, strlen(prefix)))
            text = json_string(line + strlen(prefix));
    }
    if (f)
        fclose(f);
    return text ? text : json_null();
}

static json_t *machine(const char *dir)
{
    struct utsname u;
    struct statfs fs = {0};
    char when[32];
    time_t now = time(NULL);

    uname(&u);
    statfs(dir, &fs);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:s, s:I, s:s}", "time", when, "kernel", u.release,
                     "arch", u.machine, "cpu", line_of("/proc/cpuinfo", "model name\t: "), "transparent_hugepage",
                     line_of("/sys/kernel/mm/transparent_hugepage/enabled", ""), "system",
                     line_of("/etc/os-release", "PRETTY_NAME="), "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
                     "memory_bytes", (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), "directory", dir,
                     "file_system_magic", (json_int_t)fs.f_type, "compiler", __VERSION__);
}

static json_t *measured(const struct bench_series *s, const struct row *row, size_t contender)
{
    json_t *seconds = json_array();

    for (size_t run = 0; run < s->n_runs; run++)
        json_array_append_new(seconds,
                              json_real(part_of(bench_series_at(s, row->workload, contender, run), row->part)));
    return json_pack("{s:s, s:s, s:f, s:f, s:o}", "workload", row->id, "contender", s->contenders[contender]->name,
                     "median", median(s, row, contender), "ratio", ratio(s, row, contender), "seconds", seconds);
}

void bench_write_json(const struct bench_series *s, const struct bench_settings *settings, const char *path)
{
    json_t *results = json_array(), *all;

    for (const struct row *row = rows; row < rows + N_ROWS; row++)
        for (size_t c = 0; c < s->n_contenders; c++)
            json_array_append_new(results, measured(s, row, c));
    all = json_pack("{s:i, s:o, s:I, s:s, s:o}", "version", 1, "machine", machine(settings->dir), "bytes",
                    (json_int_t)settings->n * 8, "compared_with", s->contenders[0]->name, "results", results);
    if (!all || json_dump_file(all, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) < 0)
        bench_die(path);
    json_decref(all);
    printf("\nall numbers: %s\n", path);
}
