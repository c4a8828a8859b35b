// Reading ahead in whole large pages.
//
// Where a mapping asks for large pages, an access that misses makes two of them, 4 MiB, and marks the second one.  The
// access that comes to the mark makes the next ones, as many as the disk's read_ahead_kb says (or again 4 MiB if that
// is less than 2 MiB).  A setting that is no multiple of 2 MiB ends within a large page: from there on the kernel makes
// smaller pages, and where the next access finds such a page at the beginning of a large one it makes single pages.
// With 2560, which loop devices have, a third of 5 GiB that were touched in order was in single pages (W4T; Linux 6.18,
// ext4), and it took 2.4 times as long as with 5120 (3.9 and 1.6 s); with 2112, three times as long as with 4224.  From
// 3 MiB on nearly all pages are large again.  It makes no difference whether there is anything to read: pages of new
// bytes are made by reading ahead too.
//
// A file can be read ahead twice as far as its disk's setting (POSIX_FADV_SEQUENTIAL), and that is enough.  The
// kernel keeps it with the open file, so with the mapping, and also with other mappings of the same open file.
//
// Behind a descriptor of the daemon's passthrough fence the kernel opens the disk's file anew, with the disk's setting:
// there, nothing can be done.
//
// The settings are looked up once a disk: a process uses few disks, mostly one, and seldom does somebody change them.
#include "client/memory/readahead.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "client/memory/proctext.h"
#include "proto/util/page.h"

enum { LARGE_KIB = 2048 };

bool readahead_cuts_large(uint64_t kib)
{
    return kib > LARGE_KIB && kib < 2 * (uint64_t)LARGE_KIB;
}

// A part of a disk has the queue of the disk.
static bool read_setting(dev_t disk, uint64_t *ret_kib)
{
    char dir[64];

    snprintf(dir, sizeof dir, "/sys/dev/block/%u:%u/", major(disk), minor(disk));
    return proctext_read_number(dir, "queue/read_ahead_kb", ret_kib) ||
           proctext_read_number(dir, "../queue/read_ahead_kb", ret_kib);
}

// File systems on several disks, such as btrfs, have numbers that are no disk's: their settings are multiples of 2 MiB.
// The last answer is one word, which needs no lock: a child of fork may ask too.
static bool disk_cuts_large(dev_t disk)
{
    static _Atomic uint64_t last;
    uint64_t key = (uint64_t)disk << 2 | 1, answer = last, kib;

    if ((answer | 2) != (key | 2)) {
        answer = key | (read_setting(disk, &kib) && readahead_cuts_large(kib) ? 2 : 0);
        last = answer;
    }
    return answer & 2;
}

void readahead_keep_large(int fd)
{
    struct stat st;

    if (page_size() == PAGE_WITH_HUGE_OF_2_MIB && fstat(fd, &st) == 0 && disk_cuts_large(st.st_dev))
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}
