// Functions that a build with _FORTIFY_SOURCE calls in place of those of the other files.  FLAG and SIZE are the
// compiler's: the real function looks at them.
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#pragma GCC visibility push(default)

// The headers declare few of them, and none for those who do not ask for it.
int __asprintf_chk(char **ret, int flag, const char *format, ...);
int __vasprintf_chk(char **ret, int flag, const char *format, va_list arguments);
int __fprintf_chk(FILE *f, int flag, const char *format, ...);
int __vfprintf_chk(FILE *f, int flag, const char *format, va_list arguments);
int __open_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
char *__realpath_chk(const char *path, char *ret, size_t size);
ssize_t __read_chk(int fd, void *ret, size_t n, size_t size);
ssize_t __readlink_chk(const char *path, char *ret, size_t n, size_t size);
ssize_t __recv_chk(int fd, void *ret, size_t n, size_t size, int flags);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
char *__fgets_chk(char *ret, size_t size, int n, FILE *f);

WRAP(vasprintf, int, __vasprintf_chk, (char **ret, int flag, const char *format, va_list arguments),
     (ret, flag, format, arguments), -1)
WRAP(open, int, __open_2, (const char *path, int flags), (path, flags), -1)
WRAP(openat, int, __openat_2, (int dir, const char *path, int flags), (dir, path, flags), -1)
WRAP(realpath, char *, __realpath_chk, (const char *path, char *ret, size_t size), (path, ret, size), NULL)
WRAP(readlink, ssize_t, __readlink_chk, (const char *path, char *ret, size_t n, size_t size), (path, ret, n, size), -1)
WRAP(poll, int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout, size_t size), (fds, n, timeout, size), -1)

int __asprintf_chk(char **ret, int flag, const char *format, ...)
{
    int error = inject(CALL_asprintf, CALLER), n;
    va_list arguments;

    if (error) {
        errno = error;
        return -1;
    }
    va_start(arguments, format);
    n = REAL(__vasprintf_chk)(ret, flag, format, arguments);
    va_end(arguments);
    return n;
}

int __fprintf_chk(FILE *f, int flag, const char *format, ...)
{
    int error = inject(CALL_write_stream, CALLER), n;
    va_list arguments;

    if (error) {
        mark_stream(f, error);
        return -1;
    }
    va_start(arguments, format);
    n = REAL(__vfprintf_chk)(f, flag, format, arguments);
    va_end(arguments);
    return n;
}

char *__fgets_chk(char *ret, size_t size, int n, FILE *f)
{
    int error = inject(CALL_read_line, CALLER);

    if (!error)
        return REAL(__fgets_chk)(ret, size, n, f);
    mark_stream(f, error);
    return NULL;
}

ssize_t __read_chk(int fd, void *ret, size_t n, size_t size)
{
    int error = inject_transfer(fd, CALL_read_file, CALL_read_other, CALLER);

    if (error && error != FAULTS_SHORT) {
        errno = error;
        return -1;
    }
    return REAL(__read_chk)(fd, ret, error && n > 1 ? n / 2 : n, size);
}

ssize_t __recv_chk(int fd, void *ret, size_t n, size_t size, int flags)
{
    int error = inject_receive(fd, CALLER);

    if (!error)
        return REAL(__recv_chk)(fd, ret, n, size, flags);
    errno = error;
    return -1;
}
