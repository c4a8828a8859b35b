// How a region lies in memory.
//
// All the address space that a region may ever need is taken once, and the whole of it is one shared mapping of the
// file, with no access.  Granting is mprotect of the new part.  Therefore
//   - the address never changes: there is never a reason to move;
//   - touching a byte that was not granted is SIGSEGV at once, and never SIGBUS: the accessible part ends where the
//     file ends (rounded up to a page, whose rest the kernel fills with zeros);
//   - a region is two mappings of the process, whatever its size, and a few more for each discarded part.  All belong
//     to the same open file, so the descriptor may be closed: the mapping keeps the file alive, in forked children too.
//
// The mapping starts at a multiple of 2 MiB and asks for huge pages once: then one entry of the page table can map 2
// MiB of it.  The address space is first taken by an anonymous mapping, for two reasons: the parts outside the
// alignment can be cut off, and a region for which there is no address space fails before a file was made for it.
//
// A page of the page cache may be as large as 2 MiB.  A store to any byte of such a page asks the file system for
// blocks for all of it.  If the page reaches into a discarded part, that would fill the hole again, charged to
// nobody, and could end in SIGBUS on a byte that was granted.  So the 2 MiB in which a discarded part begins or ends
// get small pages only (no huge ones, no reading ahead).  Large pages that are there already are split when the hole
// is made (spillfile_punch).  Measured on Linux 6.18, ext4: without either of the two, the hole fills.
//
// Callers grant only bytes that have blocks on disk already, and take access away before they give blocks back.
// MAP_NORESERVE and PROT_NONE cost nothing under any overcommit policy; `ulimit -v` counts all address space, so less
// is tried when a default is refused. mlockall(2) does not lock a region (unlocked.c).  The guard
// (guard.c) replaces single pages; nothing else in the library calls mmap on a region's address space.
#include "client/memory/mapping.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/memory/readahead.h"
#include "client/memory/reservation.h"
#include "client/memory/unlocked.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"
#include "proto/util/size.h"

// ERROR: what the kernel said (-errno), or -ENOMEM.
static int refuse(uint64_t reserve, int error)
{
    char text[SIZE_TEXT_MAX], held[SIZE_TEXT_MAX];

    if (error == -EAGAIN)
        return error_why(
            -ENOMEM, "no %s of address space: after mlockall(MCL_FUTURE), RLIMIT_MEMLOCK leaves not even a page of it",
            size_format(reserve, text));
    return error_why(-ENOMEM,
                     "no %s of address space, the library holds %s of it (ulimit -v? a smaller reserve, or "
                     "$DISKALLOC_RESERVE, needs less)",
                     size_format(reserve, text), size_format(reservation_held(), held));
}

// Takes RESERVE bytes of address space at a multiple of RESERVATION_ALIGN.  NULL: the kernel refuses, errno says why.
static char *take_aligned(uint64_t reserve)
{
    size_t length = reserve + RESERVATION_ALIGN;
    char *at = map_unlocked(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before, behind;

    if (at == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)at & (RESERVATION_ALIGN - 1);
    behind = length - before - reserve;
    if (before > 0)
        munmap(at, before);
    if (behind > 0)
        munmap(at + before + reserve, behind);
    return at + before;
}

static int try_reserve(struct mapping *m, uint64_t reserve)
{
    char *base;

    if (!reservation_take(reserve))
        return -ENOMEM;
    base = take_aligned(reserve);
    if (!base) {
        int error = errno;

        reservation_release(reserve);
        return error == EAGAIN ? -EAGAIN : -ENOMEM;
    }
    *m = (struct mapping){.base = base, .reserve = reserve};
    return 0;
}

int mapping_reserve(struct mapping *m, uint64_t reserve, bool exact, uint64_t needed)
{
    int r;

    if (!checked_align_up(reserve, RESERVATION_ALIGN, &reserve) || reserve > INT64_MAX || reserve == 0 ||
        !checked_align_up(needed, RESERVATION_ALIGN, &needed))
        return refuse(reserve, -ENOMEM);
    r = try_reserve(m, reserve);
    for (uint64_t less = reserve; r < 0 && !exact;) {
        less = reservation_smaller(less, needed);
        if (less == 0)
            break;
        r = try_reserve(m, less);
    }
    return r < 0 ? refuse(reserve, r) : 0;
}

// The address is a wish (a hint to mmap), which the kernel grants if nothing is there.  MAP_FIXED_NOREPLACE would say
// the same, but old kernels and ThreadSanitizer take it for something else.
bool mapping_reserve_at(struct mapping *m, uint64_t address, uint64_t reserve)
{
    void *wish = (void *)(uintptr_t)address, *at;

    if (!reservation_take(reserve))
        return false;
    at = map_unlocked(wish, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == wish) {
        *m = (struct mapping){.base = at, .reserve = reserve};
        return true;
    }
    if (at != MAP_FAILED)
        munmap(at, reserve);
    reservation_release(reserve);
    return false;
}

// A kernel without huge pages refuses; nothing is lost.  Where a page has 16 or 64 KiB, a huge one would have 32 or
// 512 MiB: more than the small pages around a discarded part keep away.
int mapping_ask_for_large(char *at, uint64_t length)
{
    return page_size() > PAGE_WITH_HUGE_OF_2_MIB ? 0 : madvise(at, length, MADV_HUGEPAGE);
}

int mapping_place(struct mapping *m, int fd, bool read_only)
{
    void *at;

    readahead_keep_large(fd);
    at = map_unlocked(m->base, m->reserve, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);

    if (at == MAP_FAILED)
        return error_why(-errno, "mmap of the region's file");
    m->read_only = read_only;
    mapping_ask_for_large(m->base, m->reserve);
    return 0;
}

void mapping_use_large(struct mapping *m)
{
    mapping_ask_for_large(m->base, m->reserve);
}

static int replace(struct mapping *m, uint64_t from, uint64_t to, int access, int fd)
{
    const int flags = MAP_SHARED | MAP_NORESERVE;

    if (from < to && map_unlocked_over(m->base + from, to - from, access, flags, fd, from) == MAP_FAILED)
        return error_why(-errno, "mapping the region's file again");
    return 0;
}

// Each part that has the same access is replaced by one call: the kernel does that in one step.
int mapping_replace(struct mapping *m, int fd, const struct ranges *without)
{
    int access = m->read_only ? PROT_READ : PROT_READ | PROT_WRITE, r = 0;
    uint64_t at = 0;

    readahead_keep_large(fd);
    for (size_t i = 0; r == 0 && i < without->n && without->items[i].offset < m->granted; i++) {
        uint64_t hole = without->items[i].offset, end = u64_min(hole + without->items[i].length, m->granted);

        hole = align_up(hole, page_size());
        end = align_down(end, page_size());
        if (hole >= end)
            continue;
        r = replace(m, at, hole, access, fd);
        if (r == 0)
            r = replace(m, hole, end, PROT_NONE, fd);
        at = end;
    }
    if (r == 0)
        r = replace(m, at, m->granted, access, fd);
    if (r == 0)
        r = replace(m, m->granted, m->reserve, PROT_NONE, fd);
    mapping_ask_for_large(m->base, m->reserve);
    mapping_guard(m, 0, m->reserve, without);
    return r;
}

void mapping_deinit(struct mapping *m)
{
    if (!m->base)
        return;
    munmap(m->base, m->reserve);
    reservation_release(m->reserve);
    *m = (struct mapping){0};
}

// The pages are given back; the address space stays taken.
bool mapping_unmap_piece(struct mapping *m, uint64_t length)
{
    uint64_t from;

    if (!m->base || m->granted <= length)
        return false;
    from = align_down(m->granted - length, RESERVATION_ALIGN);
    if (mmap(m->base + from, m->granted - from, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED)
        return false;
    m->granted = from;
    return true;
}

static int protect(struct mapping *m, uint64_t from, uint64_t to, int access)
{
    if (from < to && mprotect(m->base + from, to - from, access) < 0)
        return error_why(-ENOMEM, "the process has too many mappings");
    return 0;
}

// Discarded parts are whole blocks of 4 KiB.  A page that is larger, and only partly discarded, stays accessible: its
// other bytes are granted.  That happens to regions that were made on a machine with smaller pages.
int mapping_forbid(struct mapping *m, uint64_t from, uint64_t to)
{
    return protect(m, align_up(from, page_size()), align_down(to, page_size()), PROT_NONE);
}

int mapping_allow(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *without)
{
    int access = m->read_only ? PROT_READ : PROT_READ | PROT_WRITE, r = 0;

    for (size_t i = ranges_find(without, from); r == 0 && from < to; i++) {
        bool last = i >= without->n || without->items[i].offset >= to;

        r = protect(m, align_down(from, page_size()), align_up(last ? to : without->items[i].offset, page_size()),
                    access);
        if (last)
            break;
        from = without->items[i].offset + without->items[i].length;
    }
    return r;
}

int mapping_set_access(struct mapping *m, uint64_t size, const struct ranges *without)
{
    uint64_t end = align_up(size, page_size());
    int r = end > m->granted ? mapping_allow(m, m->granted, end, without) : mapping_forbid(m, end, m->granted);

    if (r < 0) {
        mapping_forbid(m, m->granted, end);
        mapping_allow(m, end, m->granted, without);
        return r;
    }
    m->granted = end;
    return 0;
}

static uint64_t unit_of(uint64_t at)
{
    return align_down(at, RESERVATION_ALIGN);
}

// A kernel without huge pages refuses the first advice, and makes no large pages anyway.
static int use_small_pages(struct mapping *m, uint64_t unit)
{
    if (madvise(m->base + unit, RESERVATION_ALIGN, MADV_NOHUGEPAGE) < 0 && errno == ENOMEM)
        return error_why(-ENOMEM, "the process has too many mappings");
    if (madvise(m->base + unit, RESERVATION_ALIGN, MADV_RANDOM) < 0)
        return error_why(-errno, "the process has too many mappings");
    return 0;
}

static int part_at(struct mapping *m, uint64_t edge)
{
    return unit_of(edge) == edge ? 0 : use_small_pages(m, unit_of(edge));
}

int mapping_part(struct mapping *m, uint64_t from, uint64_t to)
{
    int r = part_at(m, from);

    return r == 0 ? part_at(m, to) : r;
}

void mapping_guard(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *discarded)
{
    uint64_t begin = unit_of(from), end = unit_of(to + RESERVATION_ALIGN - 1);

    end = end < m->reserve ? end : m->reserve;
    if (begin >= end)
        return;
    for (size_t i = ranges_find(discarded, begin); i < discarded->n && discarded->items[i].offset < end; i++) {
        const struct range *x = &discarded->items[i];

        if (x->offset >= begin && x->offset % RESERVATION_ALIGN != 0)
            use_small_pages(m, unit_of(x->offset));
        if (x->offset + x->length < end && (x->offset + x->length) % RESERVATION_ALIGN != 0)
            use_small_pages(m, unit_of(x->offset + x->length));
    }
}

// A failure leaves small pages where large pages would be better.
void mapping_tend(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *discarded)
{
    uint64_t begin = unit_of(from), end = unit_of(to + RESERVATION_ALIGN - 1);

    mapping_ask_for_large(m->base + begin, end - begin);
    madvise(m->base + begin, end - begin, MADV_NORMAL);
    mapping_guard(m, begin, end, discarded);
}

int mapping_populate(const struct mapping *m, uint64_t from, uint64_t to)
{
    int r;

    from = align_down(from, page_size());
    do
        r = madvise(m->base + from, to - from, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
    while (r == -EINTR);
    return r;
}

// A page behind the end of the file is refused with EFAULT, where a load would be SIGBUS.
int mapping_reaches(struct mapping *m, uint64_t offset)
{
    uint64_t page = align_down(offset, page_size());
    int r = protect(m, page, page + page_size(), PROT_READ);

    if (r < 0)
        return r;
    do
        r = madvise(m->base + page, page_size(), MADV_POPULATE_READ) == 0 ? 1 : -errno;
    while (r == -EINTR);
    mapping_forbid(m, page, page + page_size());
    return r == -EFAULT ? 0 : r;
}

int mapping_sync(const struct mapping *m)
{
    return m->granted > 0 && msync(m->base, m->granted, MS_SYNC) < 0 ? -errno : 0;
}
