// See region_bytes.h.
#include "tests/lib/region_bytes.h"

#include <signal.h>
#include <sys/wait.h>

#include "tests/lib/harness.h"

// In a child, so that the test survives it.
bool can_store(const struct diskalloc_region *r, uint64_t at)
{
    volatile char *p = (char *)diskalloc_region_data(r) + at;
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *p = *p;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    // a sanitizer's handler exits
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void expect_bytes(const struct diskalloc_region *r, uint64_t from, uint64_t to, char value)
{
    const char *p = diskalloc_region_data(r);

    for (uint64_t i = from; i < to; i++)
        if (p[i] != value)
            fail_msg("byte %llu is %d", (unsigned long long)i, p[i]);
}
