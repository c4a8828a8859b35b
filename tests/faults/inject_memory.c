// Memory, threads, random numbers and users: calls that fail.
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "tests/faults/inject.h"

#pragma GCC visibility push(default)

WRAP(malloc, void *, malloc, (size_t n), (n), NULL)
WRAP(calloc, void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(realloc, void *, realloc, (void *p, size_t n), (p, n), NULL)
WRAP(reallocarray, void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size), NULL)
WRAP(strdup, char *, strdup, (const char *s), (s), NULL)
WRAP(strndup, char *, strndup, (const char *s, size_t n), (s, n), NULL)
WRAP(vasprintf, int, vasprintf, (char **ret, const char *format, va_list arguments), (ret, format, arguments), -1)
WRAP(open_memstream, FILE *, open_memstream, (char **ret, size_t *ret_size), (ret, ret_size), NULL)
WRAP(realpath, char *, realpath, (const char *path, char *ret), (path, ret), NULL)

int asprintf(char **ret, const char *format, ...)
{
    int error = inject(CALL_asprintf, CALLER), n = -1;
    va_list arguments;

    // The C library leaves *RET as it is.
    if (error) {
        errno = error;
        return -1;
    }
    va_start(arguments, format);
    n = REAL(vasprintf)(ret, format, arguments);
    va_end(arguments);
    return n;
}

WRAP(mmap, void *, mmap, (void *at, size_t n, int protection, int flags, int fd, off_t offset),
     (at, n, protection, flags, fd, offset), MAP_FAILED)
WRAP(munmap, int, munmap, (void *at, size_t n), (at, n), -1)
WRAP(memfd_create, int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP(mprotect, int, mprotect, (void *at, size_t n, int protection), (at, n, protection), -1)
WRAP(madvise, int, madvise, (void *at, size_t n, int advice), (at, n, advice), -1)
WRAP(mincore, int, mincore, (void *at, size_t n, unsigned char *ret), (at, n, ret), -1)
WRAP(msync, int, msync, (void *at, size_t n, int flags), (at, n, flags), -1)
WRAP(getrandom, ssize_t, getrandom, (void *ret, size_t n, unsigned flags), (ret, n, flags), -1)

void *mremap(void *at, size_t old, size_t new, int flags, ...)
{
    int error = inject(CALL_mremap, CALLER);
    va_list arguments;
    void *to;

    if (error) {
        errno = error;
        return MAP_FAILED;
    }
    va_start(arguments, flags);
    to = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    return REAL(mremap)(at, old, new, flags, to);
}

// These return the error.

int pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*fn)(void *data), void *data)
{
    int error = inject(CALL_pthread_create, CALLER);

    return error ? error : REAL(pthread_create)(ret, attributes, fn, data);
}

#define WRAP_DATABASE(name, key, entry)                                                   \
    int name(key, struct entry *ret, char *buffer, size_t size, struct entry **ret_found) \
    {                                                                                     \
        int error = inject(CALL_user_database, CALLER);                                   \
                                                                                          \
        if (error) {                                                                      \
            *ret_found = NULL;                                                            \
            return error;                                                                 \
        }                                                                                 \
        return REAL(name)(wanted, ret, buffer, size, ret_found);                          \
    }

WRAP_DATABASE(getpwnam_r, const char *wanted, passwd)
WRAP_DATABASE(getpwuid_r, uid_t wanted, passwd)
WRAP_DATABASE(getgrnam_r, const char *wanted, group)
WRAP_DATABASE(getgrgid_r, gid_t wanted, group)
