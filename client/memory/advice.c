// Advice to the kernel about the bytes of a mapping: see advice.h.
#include "client/memory/advice.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/memory/reservation.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"

#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000)
#endif

enum { READ_AHEAD = 128 * 1024 };

// Such advice is kept with the mapping, also for bytes that are not granted yet.
static bool is_about_order(int advice)
{
    return advice == MADV_NORMAL || advice == MADV_SEQUENTIAL || advice == MADV_RANDOM;
}

// In a mapping that asks for huge pages the kernel reads a whole huge page at each access, whatever other advice
// there is.
static int use_pages_for(int advice, char *at, uint64_t length)
{
    int r = 0;

    if (is_about_order(advice))
        r = advice == MADV_RANDOM ? madvise(at, length, MADV_NOHUGEPAGE) : mapping_ask_for_large(at, length);
    return r < 0 && errno == ENOMEM ? -ENOMEM : 0;
}

// A call reads no more than the disk's read_ahead_kb: so there is a call for each such piece.
static int read_ahead(char *at, uint64_t length)
{
    for (uint64_t done = 0; done < length; done += READ_AHEAD)
        if (madvise(at + done, length - done < READ_AHEAD ? length - done : READ_AHEAD, MADV_WILLNEED) < 0)
            return -errno;
    return 0;
}

int advice_give(const struct mapping *m, uint64_t from, uint64_t to, int advice)
{
    uint64_t end = u64_min(to, is_about_order(advice) ? m->reserve : m->granted);
    int r;

    if (from >= end)
        return 0;
    if (advice == MADV_WILLNEED)
        return read_ahead(m->base + from, end - from);
    r = use_pages_for(advice, m->base + from, end - from);
    if (r == 0 && madvise(m->base + from, end - from, advice) < 0)
        r = -errno;
    return r;
}

// False: the kernel does not take vectors from this process.
static bool read_ahead_at_once(const struct iovec *pieces, size_t n)
{
    return syscall(SYS_process_madvise, PIDFD_SELF, pieces, n, MADV_WILLNEED, 0U) >= 0 ||
           (errno != EBADF && errno != EPERM && errno != ENOSYS && errno != EINVAL && errno != ESRCH);
}

void advice_read_ahead(const struct iovec *pieces, size_t n)
{
    static _Atomic bool one_by_one;

    if (n > 1 && !one_by_one) {
        if (read_ahead_at_once(pieces, n))
            return;
        one_by_one = true;
    }
    for (size_t i = 0; i < n; i++)
        madvise(pieces[i].iov_base, pieces[i].iov_len, MADV_WILLNEED);
}

// MADV_RANDOM keeps the kernel from reading ahead, and MADV_HUGEPAGE has it read a large page nevertheless.
void advice_read_alone(const struct mapping *m, uint64_t to)
{
    uint64_t length = align_down(u64_min(to, m->granted), RESERVATION_ALIGN);

    // Without large pages it would be small ones that are read one by one.
    if (page_size() <= PAGE_WITH_HUGE_OF_2_MIB && mapping_ask_for_large(m->base, length) == 0)
        madvise(m->base, length, MADV_RANDOM);
}
