// See proc_self.h.
#include "tests/lib/proc_self.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

// Entries of a directory; that of its own descriptor is among those of /proc/self/fd.
static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    size_t n = 0;

    while (dir && (e = readdir(dir)))
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

size_t count_threads(void)
{
    return count_entries("/proc/self/task");
}

size_t count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

size_t count_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512], access[8];
    size_t n = 0;

    while (f && fgets(line, sizeof(line), f))
        n += sscanf(line, "%*s %7s", access) == 1 && access[3] == 's';
    if (f)
        fclose(f);
    return n;
}

// An ended thread is in /proc for a moment after it was joined.
static bool has_as_many_threads(void *data)
{
    return count_threads() == *(const size_t *)data;
}

void await_threads(size_t n)
{
    test_wait_until(has_as_many_threads, &n, 30, "the number of threads");
}

bool is_asleep(pid_t tid)
{
    char path[64], text[256] = "";
    const char *after;
    FILE *f;
    bool asleep;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    f = fopen(path, "re");
    if (!f)
        return false;
    asleep = fgets(text, sizeof(text), f) && (after = strrchr(text, ')')) && after[1] == ' ' && after[2] == 'S';
    fclose(f);
    return asleep;
}

pid_t other_thread(void)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    pid_t other = 0;

    assert_non_null(d);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.' && atoi(e->d_name) != gettid())
            other = atoi(e->d_name);
    closedir(d);
    return other;
}

static FILE *open_of_thread(pid_t tid, const char *file)
{
    char path[80];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, file);
    f = fopen(path, "re");
    assert_non_null(f);
    return f;
}

uint64_t count_switches(pid_t tid)
{
    FILE *f = open_of_thread(tid, "status");
    unsigned long long n;
    uint64_t sum = 0;
    char line[256];

    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %llu", &n) == 1)
            sum += n;
    fclose(f);
    return sum;
}

uint64_t count_run_ns(pid_t tid)
{
    FILE *f = open_of_thread(tid, "schedstat");
    unsigned long long ns = 0;

    assert_int_equal(fscanf(f, "%llu", &ns), 1);
    fclose(f);
    return ns;
}

size_t count_present(const char *base, uint64_t from, uint64_t to)
{
    static uint64_t entries[4096];
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t at = ((uintptr_t)base + from + 4095) / 4096, end = ((uintptr_t)base + to) / 4096;
    size_t n = 0;

    assert_true(fd >= 0);
    while (at < end) {
        size_t wanted = end - at < 4096 ? (size_t)(end - at) : 4096;
        ssize_t got = pread(fd, entries, wanted * 8, (off_t)(at * 8));

        assert_true(got > 0);
        for (size_t i = 0; i < (size_t)got / 8; i++)
            n += entries[i] >> 63;
        at += (uint64_t)got / 8;
    }
    close(fd);
    return n;
}

unsigned count_large_kib(const char *at)
{
    char line[256];
    unsigned long from, to;
    unsigned kib = 0, one;
    bool here = false;
    FILE *f = fopen("/proc/self/smaps", "re");

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (uintptr_t)at >= from && (uintptr_t)at < to;
        if (here && sscanf(line, "FilePmdMapped: %u kB", &one) == 1)
            kib += one;
    }
    fclose(f);
    return kib;
}
