// The cost of a restart: how long a daemon takes to be ready that finds very many regions, and how long a client that
// pushes all the time waits for the next daemon when one is killed.  Prints both; no test.
#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/spill/file_id.h"
#include "proto/spill/record.h"
#include "tests/lib/harness.h"
#include "tests/lib/test_daemon.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { SCANS = 5, RESTARTS = 31, PUSHES = 200000 };

struct shared {
    const char *address;
    _Atomic uint64_t n_cycles;
    _Atomic double longest; // seconds between two pushes
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %m; %s\n", what, diskalloc_last_error());
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const char *what, double *seconds, size_t n)
{
    qsort(seconds, n, sizeof *seconds, compare);
    printf("%-52s median %7.1f ms, least %7.1f, most %7.1f\n", what, seconds[n / 2] * 1e3, seconds[0] * 1e3,
           seconds[n - 1] * 1e3);
    fflush(stdout);
}

static void make_region(int dir, unsigned i)
{
    struct record record = {.owner_uid = geteuid(), .owner_gid = getegid(), .mode = 0600, .granted = 4096};
    char name[HANDLE_TEXT_LENGTH + 1];
    struct stat st;
    int fd;

    record.name_length = (uint8_t)snprintf(record.name, sizeof record.name, "region-%u", i);
    if (handle_random(&record.handle) < 0)
        die("handle");
    handle_format(&record.handle, name);
    fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        die("region");
    record.file_id = file_id(fd, &st);
    if (record_store(&file_ops_system, fd, &record) < 0 || fallocate(fd, 0, 0, 4096) < 0)
        die("region");
    close(fd);
}

// As the daemon would have made them, and faster.
static void make_regions(const struct test_daemon *d, unsigned n)
{
    char path[200];
    int dir;

    snprintf(path, sizeof path, "%s/%u", d->spill, (unsigned)geteuid());
    mkdir(path, 0700);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        die(path);
    for (unsigned i = 0; i < n; i++)
        make_region(dir, i);
    close(dir);
    sync();
}

static void drop_caches(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "3", 1) < 0)
        perror("drop_caches");
    if (fd >= 0)
        close(fd);
}

static double start_once(struct test_daemon *d, bool cold)
{
    double begin;

    test_daemon_kill(d, SIGKILL);
    if (cold)
        drop_caches();
    begin = now();
    test_daemon_restart(d);
    return now() - begin;
}

static void measure_starts(struct test_daemon *d, const char *what, bool cold, size_t n)
{
    double seconds[SCANS];

    for (size_t i = 0; i < n; i++)
        seconds[i] = start_once(d, cold);
    print(what, seconds, n);
}

static void push_for_ever(struct shared *shared)
{
    struct diskalloc *da = NULL;
    struct u64s v = {0};

    if (diskalloc_open(shared->address, NULL, &da) < 0 || u64s_init(&v, da) < 0)
        die("client");
    for (double last = now();;) {
        for (uint64_t i = 0; i < PUSHES; i++) {
            double t;

            if (u64s_push(&v, i) < 0)
                die("push");
            t = now();
            if (t - last > shared->longest)
                shared->longest = t - last;
            last = t;
        }
        if (u64s_truncate(&v, 0) < 0 || u64s_shrink_to_fit(&v) < 0)
            die("shrink");
        shared->n_cycles++;
    }
}

static void await_cycles(const struct shared *shared, pid_t client, uint64_t n)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (n += shared->n_cycles; shared->n_cycles < n; nanosleep(&pause, NULL))
        if (waitpid(client, NULL, WNOHANG) != 0)
            die("the client has ended");
}

static void measure_interruptions(struct test_daemon *d, const char *what, size_t n)
{
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double seconds[RESTARTS];
    pid_t pid;

    if (shared == MAP_FAILED)
        die("mmap");
    shared->address = d->address;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        push_for_ever(shared);
    }
    for (size_t i = 0; i < n; i++) {
        await_cycles(shared, pid, 3);
        shared->longest = 0;
        start_once(d, false);
        await_cycles(shared, pid, 2);
        seconds[i] = shared->longest;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    munmap(shared, sizeof *shared);
    print(what, seconds, n);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"regions", required_argument, NULL, 'r'}, {0}};
    unsigned n_regions = 100000;
    char what[80];
    struct test_daemon d;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        n_regions = (unsigned)strtoul(optarg, NULL, 10);
    }
    test_daemon_start(
        &d, "[daemon]\nkeep_free = 0\n[quota total]\nregions = unlimited\n[quota default]\nregions = unlimited\n",
        NULL);
    measure_starts(&d, "start to READY, nothing there:", false, SCANS);
    measure_interruptions(&d, "pushing client, kill -9 and start:", RESTARTS);
    make_regions(&d, n_regions);
    snprintf(what, sizeof what, "start to READY, %u regions, caches warm:", n_regions);
    measure_starts(&d, what, false, SCANS);
    printf("resident then: %ld MiB\n", test_daemon_resident_mib(&d));
    snprintf(what, sizeof what, "start to READY, %u regions, caches dropped:", n_regions);
    if (geteuid() == 0)
        measure_starts(&d, what, true, 1);
    snprintf(what, sizeof what, "pushing client, the same with %u regions:", n_regions);
    measure_interruptions(&d, what, SCANS);
    test_daemon_stop_and_remove(&d);
    return 0;
}
