// Calls of the client library, inside of which nothing comes from itself.  The linker sends them here (CMakeLists.txt).
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>

#include "client/preload/advice.h"
#include "client/preload/inside.h"
#include "client/preload/kernel.h"
#include "client/preload/next.h"

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_mmap(void *at, size_t length, int access, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t length);
void *__wrap_mremap(void *at, size_t old_length, size_t length, int flags, void *to);
int __wrap_madvise(void *at, size_t length, int advice);
int __wrap_mprotect(void *at, size_t length, int access);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

void *__wrap_malloc(size_t size)
{
    return next.malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return next.calloc(n, size);
}

void *__wrap_mmap(void *at, size_t length, int access, int flags, int fd, off_t offset)
{
    return kernel_mmap(at, length, access, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t length)
{
    return kernel_munmap(at, length);
}

void *__wrap_mremap(void *at, size_t old_length, size_t length, int flags, void *to)
{
    return kernel_mremap(at, old_length, length, flags, to);
}

// Set on the library's own thread.
static _Thread_local bool is_librarys __attribute__((__tls_model__("initial-exec")));

int __wrap_madvise(void *at, size_t length, int advice)
{
    int r = kernel_madvise(at, length, advice), e = errno;

    if (is_librarys) {
        advice_repeat(at, length, advice);
        errno = e;
    }
    return r;
}

int __wrap_mprotect(void *at, size_t length, int access)
{
    return kernel_mprotect(at, length, access);
}

struct start {
    void *(*run)(void *);
    void *argument;
};

static void *run_inside(void *data)
{
    struct start start = *(struct start *)data;

    free(data);
    inside = 1;
    is_librarys = true;
    return start.run(start.argument);
}

// The library's thread is always inside.
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    struct start *start = next.malloc(sizeof *start);
    int e;

    if (!start)
        return EAGAIN;
    *start = (struct start){run, argument};
    e = __real_pthread_create(ret, attributes, run_inside, start);
    if (e)
        free(start);
    return e;
}
