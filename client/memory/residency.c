// Which pages of a region are in memory, by whichever call of the kernel tells this process the truth.
//
// mincore(2) needs no descriptor.  But to a process that neither owns the file nor may write to it by its mode, it says
// that all pages are in memory (can_do_mincore in mm/mincore.c).  The files of a daemon that runs as another user are
// such, although the process maps them for writing.  So a page is asked for that is surely not in memory: the address
// space of a region goes on far behind the end of its file.  An answer of "no" to any page proves that all answers are
// true.  The question is put anew before each round of looks, because a program may change its user.
//
// cachestat(2) (Linux 6.5) counts the pages of a part of a file, to a process that has a descriptor for writing, and to
// the same processes as mincore.  (Before Linux 6.14 a descriptor for reading will do too.)  Which pages these are is
// found by halving.  A call takes half a microsecond, mincore 3 for 16 pages (measured, Linux 6.18).
//
// A file of one file system may be mapped through another one, as with the passthrough fence (diskallocd(8), FENCES)
// and on overlayfs.  Then the pages of the wrong file are counted, none of which is ever in memory.  So a descriptor
// of FUSE is refused, and the counts are believed only after one that is not 0.
//
// Threads: the client's thread looks.  It never talks to the daemon, so a thread of the program gives the descriptor.
#include "client/memory/residency.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "client/memory/guard.h"
#include "client/memory/mapping.h"
#include "proto/util/page.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

enum { PROBES = 16, WINDOW_MAX = 16 };

static bool ask(const struct mapping *m, uint64_t at, unsigned n, unsigned char *ret)
{
    return mincore(m->base + at, n * page_size(), ret) == 0;
}

// The last place is behind the end of the file, unless the program has given the region no more address space than it
// needs.
static bool is_mincore_true(const struct mapping *m)
{
    unsigned char page;

    for (uint64_t i = PROBES; i > 0; i--)
        if (ask(m, m->reserve / PROBES * i - page_size(), 1, &page) && !(page & 1))
            return true;
    return false;
}

// LENGTH: 0 means up to the end.  -errno: the kernel does not tell.
static int64_t count(int fd, uint64_t from, uint64_t length)
{
    const struct {
        uint64_t offset, length;
    } range = {from, length};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } pages;

    return syscall(SYS_cachestat, fd, &range, &pages, 0U) < 0 ? -errno : (int64_t)pages.cached;
}

void residency_init(struct residency *r, const struct mapping *m)
{
    *r = (struct residency){.mapping = m};
}

bool residency_needs_file(const struct residency *r)
{
    return !r->has_file && !r->refused && !is_mincore_true(r->mapping);
}

static bool is_of_use(const struct descriptor *file)
{
    struct statfs fs;

    return fstatfs(file->fd, &fs) == 0 && fs.f_type != FUSE_SUPER_MAGIC && count(file->fd, 0, page_size()) >= 0;
}

bool residency_give_file(struct residency *r, const struct descriptor *file)
{
    if (!file || !is_of_use(file)) {
        r->refused = true;
        return false;
    }
    r->file = *file;
    r->has_file = true;
    return true;
}

static bool can_count(struct residency *r)
{
    if (!r->has_file)
        return false;
    if (!descriptor_is_ours(&r->file)) {
        r->has_file = false;
        return false;
    }
    r->counts = r->counts || count(r->file.fd, 0, 0) > 0;
    return r->counts;
}

bool residency_begin(struct residency *r)
{
    r->by_file = !is_mincore_true(r->mapping);
    return !r->by_file || can_count(r);
}

static unsigned at_most(int64_t n, unsigned most)
{
    return n < 0 ? 0 : n < most ? (unsigned)n : most;
}

// COUNTED of the N pages are in memory.  Other threads and the kernel may change that meanwhile: then a page may be
// taken for its neighbour.
static unsigned find(int fd, uint64_t at, unsigned n, unsigned counted)
{
    unsigned half = n / 2, left;

    if (counted == 0 || counted == n)
        return counted == 0 ? 0 : (1U << n) - 1;
    left = at_most(count(fd, at, half * page_size()), counted < half ? counted : half);
    return find(fd, at, half, left) | find(fd, at + half * page_size(), n - half, at_most(counted - left, n - half))
                                          << half;
}

uint16_t residency_window(const struct residency *r, uint64_t at, unsigned n)
{
    unsigned char pages[WINDOW_MAX];
    unsigned bits = 0;

    if (r->by_file)
        return (uint16_t)find(r->file.fd, at, n, at_most(count(r->file.fd, at, n * page_size()), n));
    if (!ask(r->mapping, at, n, pages))
        return 0;
    for (unsigned i = 0; i < n; i++)
        bits |= (pages[i] & 1U) << i;
    return (uint16_t)bits;
}

// To the kernel, dropping pages tells as much as mincore: MADV_PAGEOUT does nothing where mincore does not tell.  It
// leaves the tables of single pages, although they are empty, and where there is such a table no large page is mapped
// as one: scans had half their speed for ever.  MADV_DONTNEED gives the tables back as well (Linux 6.14).  By a
// descriptor, pages can be dropped that no process has in its page table.  A page that the guard (guard.c) has put in
// place of another is in no file, and would be lost with its entry.  So with the guard, pages that have an entry stay,
// and are only the first to go when memory is short.
void residency_drop(const struct residency *r, uint64_t from, uint64_t to)
{
    char *at = r->mapping->base + from;

    if (from >= to)
        return;
    if (!r->by_file) {
        madvise(at, to - from, MADV_PAGEOUT);
        if (!guard_is_enabled())
            madvise(at, to - from, MADV_DONTNEED);
    } else if (r->has_file && descriptor_is_ours(&r->file)) {
        madvise(at, to - from, guard_is_enabled() ? MADV_COLD : MADV_DONTNEED);
        posix_fadvise(r->file.fd, (off_t)from, (off_t)(to - from), POSIX_FADV_DONTNEED);
    }
}
