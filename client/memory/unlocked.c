// A program may have called mlockall(MCL_FUTURE).  Each new mapping is then locked as a whole: for an ordinary user
// the kernel refuses hundreds of GiB (EAGAIN: RLIMIT_MEMLOCK counts address space, also without access), and for root
// everything that is mapped is read and stays in memory.  A region is larger than memory on purpose, so its pages
// must not be locked.
//
// mlockall concerns new mappings, and a mapping that is extended keeps its own state.  So one page is mapped,
// unlocked, and extended to the length (mremap(2)).  Where there is no limit, the whole is mapped and then unlocked:
// without access no page was read meanwhile.
//
// MCL_CURRENT locks the mappings that exist when it is called; nothing here knows about that call (client.h says so).
#include "client/memory/unlocked.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "proto/util/page.h"

// The kernel may have unmapped the target before it failed to extend.  The program's memory is there: so it is mapped
// without the detour, which fails only where the pages of this process may not be locked.  Then nothing else may be
// mapped there.
static void *map_at_once(void *at, uint64_t length, int access, int flags, int fd, uint64_t offset, int error)
{
    void *whole = mmap(at, length, access, flags, fd, (off_t)offset);

    if (whole != MAP_FAILED) {
        munlock(whole, length);
        return whole;
    }
    (void)mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    errno = error;
    return MAP_FAILED;
}

static void *map_and_extend(void *at, uint64_t length, int access, int flags, int fd, uint64_t offset)
{
    uint64_t page = page_size();
    void *first = mmap(NULL, page, access, flags & ~MAP_FIXED, fd, (off_t)offset), *whole;
    int error;

    if (first == MAP_FAILED)
        return MAP_FAILED;
    munlock(first, page);
    whole = flags & MAP_FIXED ? mremap(first, page, length, MREMAP_MAYMOVE | MREMAP_FIXED, at)
                              : mremap(first, page, length, MREMAP_MAYMOVE);
    if (whole == MAP_FAILED) {
        error = errno;
        munmap(first, page);
        if (flags & MAP_FIXED)
            return map_at_once(at, length, access, flags, fd, offset, error);
        errno = error;
    }
    return whole;
}

void *map_unlocked(void *at, uint64_t length, int access, int flags, int fd, uint64_t offset)
{
    void *whole = mmap(at, length, access, flags, fd, (off_t)offset);

    if (whole == MAP_FAILED)
        return errno == EAGAIN ? map_and_extend(at, length, access, flags, fd, offset) : MAP_FAILED;
    munlock(whole, length);
    return whole;
}

void *map_unlocked_over(void *at, uint64_t length, int access, int flags, int fd, uint64_t offset)
{
    return map_and_extend(at, length, access, flags | MAP_FIXED, fd, offset);
}
