// The process and its limits: calls that fail.
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#pragma GCC visibility push(default)

WRAP(fork, pid_t, fork, (void), (), -1)
WRAP(waitpid, pid_t, waitpid, (pid_t pid, int *ret, int options), (pid, ret, options), -1)
WRAP(setrlimit, int, setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit), -1)
WRAP(setpriority, int, setpriority, (__priority_which_t which, id_t who, int priority), (which, who, priority), -1)

int prctl(int option, ...)
{
    unsigned long a[4];
    va_list arguments;
    int error = inject(CALL_prctl, CALLER);

    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (error) {
        errno = error;
        return -1;
    }
    return REAL(prctl)(option, a[0], a[1], a[2], a[3]);
}
