// mmap and its relatives, as the program calls them.  The C library's own calls do not come here, so the stacks of
// threads and the allocator behind are as they always were.
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>

#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/inside.h"
#include "client/preload/kernel.h"
#include "client/preload/maps.h"
#include "client/preload/preload.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT void *mmap(void *at, size_t length, int access, int flags, int fd, off_t offset);
EXPORT void *mmap64(void *at, size_t length, int access, int flags, int fd, off64_t offset);
EXPORT int munmap(void *at, size_t length);
EXPORT void *mremap(void *at, size_t old_length, size_t length, int flags, ...);
EXPORT int madvise(void *at, size_t length, int advice);
EXPORT int mprotect(void *at, size_t length, int access);

// MAP_FAILED and false: the kernel is to be asked.
static void *from_disk(void *at, size_t length, int access, bool *ret_failed)
{
    int saved = errno, state = inside_enter();
    void *to;

    to = maps_map(at, length, access);
    *ret_failed = to == MAP_FAILED && !preload_refused(length, disk_why());
    inside_leave(state);
    errno = *ret_failed ? ENOMEM : saved;
    return to;
}

void *mmap(void *at, size_t length, int access, int flags, int fd, off_t offset)
{
    bool failed;
    void *to;
    int state;

    if (inside > 0)
        return kernel_mmap(at, length, access, flags, fd, offset);
    if (preload_from != SIZE_MAX && length >= preload_settings.threshold && maps_suits(length, access, flags)) {
        to = from_disk(flags & MAP_FIXED ? at : NULL, length, access, &failed);
        if (to != MAP_FAILED || failed)
            return to;
    }
    if (!(flags & MAP_FIXED) || !blocks_are_there())
        return kernel_mmap(at, length, access, flags, fd, offset);
    state = inside_enter();
    to = maps_map_over(at, length, access, flags, fd, offset);
    inside_leave(state);
    return to;
}

void *mmap64(void *at, size_t length, int access, int flags, int fd, off64_t offset)
{
    return mmap(at, length, access, flags, fd, offset);
}

static bool is_for_kernel(void)
{
    return inside > 0 || !blocks_are_there();
}

int munmap(void *at, size_t length)
{
    int r, state;

    if (is_for_kernel())
        return kernel_munmap(at, length);
    state = inside_enter();
    r = maps_munmap(at, length);
    inside_leave(state);
    return r;
}

void *mremap(void *at, size_t old_length, size_t length, int flags, ...)
{
    va_list arguments;
    void *to = NULL;
    int state;

    va_start(arguments, flags);
    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        to = va_arg(arguments, void *);
    va_end(arguments);
    if (is_for_kernel())
        return kernel_mremap(at, old_length, length, flags, to);
    state = inside_enter();
    to = maps_mremap(at, old_length, length, flags, to, !preload_settings.strict);
    inside_leave(state);
    return to;
}

int madvise(void *at, size_t length, int advice)
{
    int r, state;

    if (is_for_kernel())
        return kernel_madvise(at, length, advice);
    state = inside_enter();
    r = maps_madvise(at, length, advice);
    inside_leave(state);
    return r;
}

int mprotect(void *at, size_t length, int access)
{
    int r, state;

    if (is_for_kernel())
        return kernel_mprotect(at, length, access);
    state = inside_enter();
    r = maps_mprotect(at, length, access);
    inside_leave(state);
    return r;
}
