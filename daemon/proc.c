// Facts about this process and this kernel, from /proc: see proc.h.
#include "daemon/proc.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
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

uid_t proc_overflow_uid(void)
{
    unsigned long long uid = proc_number("/proc/sys/kernel/overflowuid");

    return uid ? (uid_t)uid : OVERFLOW_UID;
}

bool proc_has_all_uids(void)
{
    unsigned long long inside = 0, outside = 0, n = 0;
    FILE *f = fopen("/proc/self/uid_map", "re");

    if (f) {
        if (fscanf(f, "%llu %llu %llu", &inside, &outside, &n) != 3)
            n = 0;
        fclose(f);
    }
    return n == UINT32_MAX;
}

bool proc_is_zombie(pid_t pid)
{
    _cleanup_close_ int fd = -1;
    char path[64], text[512];
    const char *state;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    state = strrchr(text, ')'); // the name before may have any character
    return state && (strncmp(state, ") Z", 3) == 0 || strncmp(state, ") X", 3) == 0);
}
