// The kernel's calls about memory, past whatever functions of these names are in the process.  As mmap(2) and so on.
#pragma once
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void *kernel_mmap(void *at, size_t length, int access, int flags, int fd, int64_t offset)
{
    return (void *)syscall(SYS_mmap, at, length, access, flags, fd, offset);
}

static inline int kernel_munmap(void *at, size_t length)
{
    return (int)syscall(SYS_munmap, at, length);
}

static inline void *kernel_mremap(void *at, size_t old_length, size_t length, int flags, void *to)
{
    return (void *)syscall(SYS_mremap, at, old_length, length, flags, to);
}

static inline int kernel_madvise(void *at, size_t length, int advice)
{
    return (int)syscall(SYS_madvise, at, length, advice);
}

static inline int kernel_mprotect(void *at, size_t length, int access)
{
    return (int)syscall(SYS_mprotect, at, length, access);
}

// Nothing is there any more, and the addresses stay taken.
static inline void *kernel_vacate(void *at, size_t length)
{
    return kernel_mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
