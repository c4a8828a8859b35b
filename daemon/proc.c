// Facts about this process and this kernel, from /proc: see proc.h.
#include "daemon/proc.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

enum { OVERFLOW_UID = 65534 }; // if the kernel does not tell

unsigned long long proc_number(const char *path)
{
    unsigned long long n = 0;
    FILE *f = fopen(path, "re");

    if (f) {
        if (fscanf(f, "%llu", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

// The file of the first thread is read, because the kernel makes that of the process from all threads.  A process may
// call itself anything, so the fields are counted from the last parenthesis.
uint64_t proc_start_time(pid_t pid)
{
    _cleanup_close_ int fd = -1;
    unsigned long long ticks = 0;
    char path[64], text[1024];
    const char *end;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    end = strrchr(text, ')');
    // Behind the name come fields 3 to 21, and the start time is field 22.
    if (!end || sscanf(end + 1, " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                       &ticks) != 1)
        return 0;
    return ticks;
}

bool proc_cgroup(pid_t pid, char *ret, size_t n)
{
    _cleanup_free_ char *line = NULL;
    char path[64];
    bool found = false;
    size_t room = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    f = fopen(path, "re");
    // Each line is ID:CONTROLLERS:PATH; cgroup v2 has the last one, without controllers.
    while (f && getline(&line, &room, f) > 0) {
        char *controllers = strchr(line, ':'), *at = controllers ? strchr(controllers + 1, ':') : NULL;
        bool is_v2 = at == controllers + 1;

        if (!at || at[1] != '/' || (!is_v2 && strncmp(controllers, ":name=systemd:", strlen(":name=systemd:")) != 0))
            continue;
        at++;
        at[strcspn(at, "\n")] = '\0';
        while (strlen(at) >= n)
            *strrchr(at, '/') = '\0';
        found = *at == '/';
        if (found)
            memcpy(ret, at, strlen(at) + 1);
        if (is_v2)
            break;
    }
    if (f)
        fclose(f);
    return found;
}

struct proc_thread_use proc_thread_use(void)
{
    struct rusage usage = {0};
    struct timespec cpu = {0}; // getrusage's time may be a tick old

    getrusage(RUSAGE_THREAD, &usage);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return (struct proc_thread_use){
        .n_preemptions = usage.ru_nivcsw,
        .cpu_us = (uint64_t)cpu.tv_sec * 1000000 + (uint64_t)cpu.tv_nsec / 1000,
    };
}

uid_t proc_overflow_uid(void)
{
    unsigned long long uid = proc_number("/proc/sys/kernel/overflowuid");

    return uid ? (uid_t)uid : OVERFLOW_UID;
}

gid_t proc_overflow_gid(void)
{
    unsigned long long gid = proc_number("/proc/sys/kernel/overflowgid");

    return gid ? (gid_t)gid : OVERFLOW_UID;
}

// The state in a file /proc/PID/stat, a letter; 0: not known.
static int read_state(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *end;
    char text[512];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    end = strrchr(text, ')'); // the name before may have any character
    return end && end[1] == ' ' ? end[2] : 0;
}

bool proc_is_zombie(pid_t pid)
{
    char path[64];
    int state;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    state = pid > 0 ? read_state(path) : 0;
    return state == 'Z' || state == 'X';
}

bool proc_thread_runs(pid_t tid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    return read_state(path) == 'R';
}
