// The memory of a small vector, which has no file yet: the beginning of a region's address space.
//
// The memory is an anonymous mapping that forked children share, as they share a region's.  When the vector outgrows
// it, the bytes move into the file of a region, at the same addresses: the rest of the address space is mapped from
// the file first; then the file's first pages are mapped elsewhere, the bytes are copied there, and mremap(2) puts
// these pages in place of the old ones, in one step.  So a thread, or a signal handler, that reads meanwhile finds the
// same bytes in the old pages or in the new ones.  What it writes meanwhile may be lost.
//
// The copy is made by memory and not by write(2): a descriptor of the daemon's passthrough fence (diskallocd(8),
// FENCES) can be mapped and nothing else, and the tripwire reports each write.
#include "client/memory/small.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "client/memory/mapping.h"
#include "client/memory/readahead.h"
#include "client/memory/unlocked.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"

int small_begin(struct mapping *m, uint64_t size)
{
    uint64_t length = align_up(size, page_size());

    if (mmap(m->base, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        return error_why(-ENOMEM, "no memory for a small vector");
    m->granted = length;
    return 0;
}

static int refuse(int error)
{
    return error_why(error, "mmap of the region's file");
}

// The part behind the memory is address space without a file again.
static void put_back(struct mapping *m, uint64_t length)
{
    (void)mmap(m->base + length, m->reserve - length, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    m->granted = length;
}

static bool is_zero(const char *bytes, uint64_t n)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

// The file has zeros: a page that is not stored to is not made.
static void copy_pages(char *to, const char *from, uint64_t length)
{
    for (uint64_t at = 0; at < length; at += page_size())
        if (!is_zero(from + at, page_size()))
            memcpy(to + at, from + at, page_size());
}

int small_move(struct mapping *m, int fd, uint64_t length)
{
    char *elsewhere;
    int error;

    if (length == 0)
        return 0;
    elsewhere = map_unlocked(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (elsewhere == MAP_FAILED)
        return refuse(-errno);
    copy_pages(elsewhere, m->base, length);
    if (mremap(elsewhere, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, m->base) != MAP_FAILED)
        return 0;
    error = -errno;
    munmap(elsewhere, length);
    return refuse(error);
}

int small_give_file(struct mapping *m, int fd, uint64_t size, bool stay)
{
    static const struct ranges none;
    uint64_t length = m->granted;
    int r = 0;

    readahead_keep_large(fd);
    if (map_unlocked(m->base + length, m->reserve - length, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
                     length) == MAP_FAILED)
        r = refuse(-errno);
    if (r == 0)
        r = mapping_set_access(m, size, &none);
    if (r == 0 && !stay)
        r = small_move(m, fd, length);
    if (r < 0) {
        put_back(m, length);
        return r;
    }
    mapping_use_large(m);
    return 0;
}
