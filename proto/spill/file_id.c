#include "proto/spill/file_id.h"

#include <fcntl.h>

enum { NS_PER_S = 1000000000 };

// An odd number, the fractional part of the golden ratio: numbers that are close to each other are not any more.
// D. E. Knuth, The Art of Computer Programming, volume 3, section 6.4.
#define MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

uint64_t file_id(int fd, const struct stat *st)
{
    struct statx x;
    uint64_t id = st->st_ino;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BTIME, &x) == 0 && x.stx_mask & STATX_BTIME)
        id ^= ((uint64_t)x.stx_btime.tv_sec * NS_PER_S + x.stx_btime.tv_nsec) * MULTIPLIER;
    return id ? id : 1;
}
