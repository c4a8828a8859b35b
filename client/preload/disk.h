// Bytes on disk for large blocks: a few regions, and what of them is used.
//
// A region is grown when nothing free is large enough.  What is given back is discarded, so that its blocks go back to
// the disk and its charge to the account, and is granted again when it is needed: then it is zeros, which nobody wrote.
// A little is kept as it is (KEPT), for programs that free and allocate in turns.
//
// All with the lock of the blocks (blocks.c), except where something else is said; sizes are bytes.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>

#include "client/preload/extents.h"

enum { DISK_REGIONS_MAX = 64 };

#define DISK_LARGE_PAGE ((uint64_t)2 << 20)

struct disk_region {
    struct diskalloc_region *region;
    struct extents extents; // of all addresses that the region has reserved
    char *base;
    int fd;         // during a fork: of the region's file; or -errno
    bool inherited; // the parent's: this process only forgets what it has of it
};

struct disk {
    struct disk_region regions[DISK_REGIONS_MAX];
    unsigned n_regions;
    unsigned forks; // forks of this process since it began
};

extern struct disk disk;

// Takes LENGTH bytes at an offset that is a multiple of ALIGN; ZERO: they have to be zeros.  0; -EDQUOT, -ENOSPC,
// -ENOMEM or another -errno: disk_why says why.
int disk_take(uint64_t length, uint64_t align, bool zero, unsigned *ret_region, uint64_t *ret_offset);
// Takes the LENGTH bytes from OFFSET on, behind a block; also -EAGAIN: they are not free.
int disk_extend(unsigned region, uint64_t offset, uint64_t length, bool zero);
// The bytes are nobody's any more.  BORN: the value of disk.forks when they were taken.  KEEP: their content may stay,
// to be had again by disk_take.
void disk_give(unsigned region, uint64_t offset, uint64_t length, unsigned born, bool keep);
// The bytes of a block become zeros, in a region that is not inherited.  BORN: as of disk_give.  0; -EBUSY: a child has
// them too, and nothing has changed; -errno: they are not accessible any more, and must be given up (disk_abandon).
int disk_zero(unsigned region, uint64_t offset, uint64_t length, unsigned born);
// They are free when no child has them any more.
void disk_abandon(unsigned region, uint64_t offset, uint64_t length);
// Why the last disk_take or disk_extend of this thread was refused.
const char *disk_why(void);
// In a forked child: the regions are the parent's.
void disk_forked(void);
