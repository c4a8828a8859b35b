// diskalloc-bench [OPTION…]: one alternating series, so that whatever drifts hits all contenders alike.  Every run is a process
// of its own, and the machine's memory is warmed before it: a virtual machine gives free pages back to its host, and the first
// touch afterwards would be paid by whoever comes first.  Quote ratios of medians, never a time.
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/harness.h"

static const struct contender *const contenders[] = {
    &contender_hand, &contender_ram_huge, &contender_malloc, &contender_diskalloc_daemon, &contender_diskalloc_dir,
};
enum { N_CONTENDERS = sizeof contenders / sizeof *contenders };

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

_Noreturn void bench_die(const char *what)
{
    fprintf(stderr, "diskalloc-bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct bench_result run_in_child(void (*run)(const void *data, struct bench_result *ret), const void *data)
{
    struct bench_result result = {0};
    int ends[2], status;
    pid_t pid;

    fflush(NULL);
    if (pipe(ends) < 0 || (pid = fork()) < 0)
        bench_die("fork");
    if (pid == 0) {
        run(data, &result);
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &result, sizeof result) != sizeof result || waitpid(pid, &status, 0) < 0 || status != 0)
        bench_die("a run failed");
    close(ends[0]);
    return result;
}

static void warm(const void *data, struct bench_result *ret)
{
    size_t n = *(const size_t *)data;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)ret;
    if (p == MAP_FAILED)
        bench_die("mmap");
    madvise(p, n, MADV_HUGEPAGE);
    for (size_t i = 0; i < n; i += 4096)
        p[i] = 1;
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

struct bench_result *bench_series_at(const struct bench_series *s, enum workload w, size_t contender, size_t run)
{
    return &s->results[((size_t)w * s->n_contenders + contender) * s->n_runs + run];
}

static void run_series(const struct bench_series *s, const struct bench_settings *settings)
{
    // what a run touches at most (a doubling vector has up to twice its size), but not what the machine does not have
    size_t available = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = settings->n * 8 * 2 + ((size_t)512 << 20);

    if (bytes > available / 2)
        bytes = available / 2;
    for (size_t run = 0; run < s->n_runs; run++) {
        for (enum workload w = 0; w < WORKLOAD_N; w++) {
            for (size_t c = 0; c < s->n_contenders; c++) {
                struct job job = {s->contenders[c], settings, w};

                run_in_child(warm, &bytes);
                *bench_series_at(s, w, c, run) = run_in_child(run_job, &job);
            }
        }
        fprintf(stderr, "run %zu of %zu done\n", run + 1, s->n_runs);
    }
}

static const char usage[] = "usage: diskalloc-bench [--runs N] [--mib N] [--json FILE]\n"
                            "  --runs  of each contender and workload (7)\n"
                            "  --mib   size of the vectors (1024)\n"
                            "  --json  where all the numbers go (bench.json)\n"
                            "Files go to $DISKALLOC_TEST_DIR or /var/tmp.\n";

static size_t parse_number(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end || n < 2 || n > 1 << 20) {
        fputs(usage, stderr);
        exit(2);
    }
    return n;
}

static const char *parse_options(int argc, char **argv, struct bench_settings *settings, size_t *ret_runs)
{
    static const struct option options[] = {
        {"runs", required_argument, NULL, 'r'},
        {"mib", required_argument, NULL, 'm'},
        {"json", required_argument, NULL, 'j'},
        {0},
    };
    const char *json = "bench.json";

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'r')
            *ret_runs = parse_number(optarg);
        else if (c == 'm')
            settings->n = parse_number(optarg) * ((1 << 20) / 8);
        else if (c == 'j')
            json = optarg;
        else {
            fputs(usage, stderr);
            exit(2);
        }
    }
    return json;
}

int main(int argc, char **argv)
{
    struct bench_settings settings = {.n = (size_t)1 << 27, .dir = test_base_dir()};
    struct bench_series series = {.contenders = contenders, .n_contenders = N_CONTENDERS, .n_runs = 7};
    const char *json = parse_options(argc, argv, &settings, &series.n_runs);
    struct test_daemon daemon;

    series.results = calloc(WORKLOAD_N * N_CONTENDERS * series.n_runs, sizeof *series.results);
    if (!series.results)
        bench_die("calloc");
    test_daemon_start(&daemon, NULL, NULL);
    settings.address = daemon.address;
    run_series(&series, &settings);
    test_daemon_stop_and_remove(&daemon);
    bench_print_table(&series);
    bench_write_json(&series, &settings, json);
    free(series.results);
    return 0;
}
