// Runs alternate, so that whatever drifts hits all contenders alike; each round begins with another.
#include "tests/bench/series.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/bench/child.h"
#include "tests/bench/workload.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
enum { N_WARMINGS = 2, MORE_FOR_SMALL = 3, LEAST_RUNS = 2, SECONDS = 120, SECONDS_PER_GIB = 240 };

// Small ones are noisy and cheap, large ones neither.
static size_t runs_for(size_t n_runs, size_t bytes)
{
    size_t fewer = bytes ? n_runs * 2 * GIB / bytes : 0;

    if (bytes <= 64 * MIB)
        return n_runs * MORE_FOR_SMALL;
    if (bytes <= GIB || fewer > n_runs)
        return n_runs;
    return fewer < LEAST_RUNS ? LEAST_RUNS : fewer;
}

void series_add(struct series *s, enum workload w, size_t n, size_t limit, size_t threads)
{
    size_t wanted = w == RESIZE ? (s->n_runs + 1) / 2 : s->n_runs; // one is twenty passes over the vector
    size_t n_runs = runs_for(wanted, n * 8);
    struct point *p;

    s->points = realloc(s->points, (s->n_points + 1) * sizeof *s->points);
    if (!s->points)
        bench_die("realloc");
    p = &s->points[s->n_points++];
    *p = (struct point){w,
                        n,
                        limit,
                        threads,
                        n_runs,
                        calloc(s->n_contenders * n_runs, sizeof(struct bench_result)),
                        calloc(s->n_contenders, sizeof(char *))};
    if (!p->results || !p->notes)
        bench_die("calloc");
}

void series_deinit(struct series *s)
{
    for (size_t i = 0; i < s->n_points; i++) {
        free(s->points[i].results);
        free(s->points[i].notes);
    }
    free(s->points);
    s->points = NULL;
    s->n_points = 0;
}

static double available_memory(void)
{
    unsigned long kib = 0;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");

    while (f && !kib && fgets(line, sizeof line, f))
        sscanf(line, "MemAvailable: %lu", &kib);
    if (f)
        fclose(f);
    return (double)kib * 1024;
}

static double available_disk(const char *dir)
{
    struct statvfs fs;

    return statvfs(dir, &fs) == 0 ? (double)fs.f_bavail * (double)fs.f_frsize : 0;
}

void bench_use(uint64_t x)
{
    __asm__ volatile("" : : "r"(x));
}

// NULL, or why C cannot run at P.
static const char *obstacle(const struct series *s, const struct point *p, const struct contender *c)
{
    double bytes = (double)p->n * 8;

    if (c->cannot & 1u << p->workload)
        return c->cannot_because;
    if (p->threads > 1 && c->one_thread)
        return "one thread at a time may use it";
    if (c->obstacle && c->obstacle())
        return c->obstacle();
    if (!p->limit && c->memory * bytes + (double)(GIB / 2) > available_memory())
        return "not enough memory in this machine";
    if (c->disk * bytes + (double)GIB > available_disk(s->settings.dir))
        return "not enough room on this disk";
    return NULL;
}

struct job {
    const struct contender *contender;
    const struct bench_settings *settings;
    enum workload workload;
};

static void run_job(const void *data, struct bench_result *ret)
{
    const struct job *job = data;

    job->contender->run(job->settings, job->workload, ret);
}

// The bytes that a run touches at most (some contenders hold old and new while they grow), as far as the machine has
// them.
static size_t bytes_to_warm(const struct point *p)
{
    size_t bytes = p->limit ? 2 * p->limit : 2 * p->n * 8 + GIB / 2, most = (size_t)available_memory() / 4 * 3;

    return bytes < most ? bytes : most;
}

void bench_sync(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        syncfs(fd);
        close(fd);
    }
}

static struct bench_result run_once(const struct series *s, struct point *p, size_t contender)
{
    struct bench_settings settings = s->settings;
    struct job job = {s->contenders[contender], &settings, p->workload};
    struct bench_result result = {.outcome = OUTCOME_SKIPPED};
    struct cgroup group = {0};
    unsigned seconds = SECONDS + SECONDS_PER_GIB * (unsigned)(p->n * 8 / GIB);

    settings.n = p->n;
    settings.threads = p->threads;
    if (p->limit)
        settings.memory = p->limit;
    bench_sync(s->settings.dir);
    for (int i = 0; i < N_WARMINGS && !s->cold; i++)
        child_warm(bytes_to_warm(p));
    if (p->limit && cgroup_make(&group, p->limit, &p->notes[contender]) < 0)
        return result;
    p->notes[contender] = NULL;
    result = child_run(run_job, &job, p->limit ? &group : NULL, seconds);
    cgroup_remove(&group);
    return result;
}

static struct bench_result run_or_note(const struct series *s, struct point *p, size_t contender)
{
    const struct contender *c = s->contenders[contender];
    const char *why = obstacle(s, p, c);

    if (!why)
        return run_once(s, p, contender);
    p->notes[contender] = why;
    return (struct bench_result){
        .outcome = why == c->cannot_because ? OUTCOME_UNSUPPORTED : OUTCOME_SKIPPED,
    };
}

static void run_round(const struct series *s, struct point *p, size_t run)
{
    for (size_t i = 0; i < s->n_contenders; i++) {
        size_t contender = (i + run) % s->n_contenders;

        p->results[contender * p->n_runs + run] = run_or_note(s, p, contender);
    }
}

void series_run(struct series *s)
{
    for (size_t i = 0; i < s->n_points; i++) {
        struct point *p = &s->points[i];
        double start = bench_now();

        for (size_t run = 0; run < p->n_runs; run++)
            run_round(s, p, run);
        fprintf(stderr, "%zu of %zu: %s, %zu MiB, %zu threads, %zu runs, %.0f s\n", i + 1, s->n_points,
                workload_infos[p->workload].id, p->n / (MIB / 8), p->threads, p->n_runs, bench_now() - start);
    }
}
