// See log.h.
#include "client/preload/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, KEPT_FD = 700 };

static int kept = -1;
static struct stat kept_file;

__attribute__((format(printf, 2, 0))) static void write_line(int fd, const char *format, va_list arguments)
{
    const char *name = program_invocation_short_name;
    char line[LINE_MAX_BYTES];
    int saved = errno, n, more;

    n = snprintf(line, sizeof line / 2, "diskalloc: %.200s[%ld]: ", name ? name : "?", (long)getpid());
    more = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, arguments);
    n = more < 0 ? n : n + more < LINE_MAX_BYTES - 1 ? n + more : LINE_MAX_BYTES - 2;
    line[n++] = '\n';
    while (write(fd, line, (size_t)n) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void log_line(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(STDERR_FILENO, format, arguments);
    va_end(arguments);
}

void log_and_abort(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(STDERR_FILENO, format, arguments);
    va_end(arguments);
    abort();
}

// The number is one that programs hardly use for their own.
void log_keep(void)
{
    kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_FD);
    if (kept < 0)
        kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (kept >= 0 && fstat(kept, &kept_file) < 0)
        kept = -1;
}

void log_at_end(const char *format, ...)
{
    bool is_kept;
    struct stat now;
    va_list arguments;

    is_kept = kept >= 0 && fstat(kept, &now) == 0 && now.st_dev == kept_file.st_dev && now.st_ino == kept_file.st_ino;
    va_start(arguments, format);
    write_line(is_kept ? kept : STDERR_FILENO, format, arguments);
    va_end(arguments);
}
