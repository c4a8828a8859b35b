// Blocks of a spill file, without a daemon: granting, giving back, granting again.  Each function either does all of
// it or leaves file and set as they were; spill_fill_holes is the exception.
#include "client/local/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "client/util/discarded.h"
#include "client/util/error.h"
#include "proto/spill/full.h"
#include "proto/spill/holes.h"
#include "proto/spill/spillfile.h"

int spill_refused(int fd, int r, uint64_t asked)
{
    struct full_limit why;

    if (r == -EFBIG)
        return error_why(-EOVERFLOW, "the file system has no files of that size");
    if (r != -ENOSPC && r != -EDQUOT)
        return error_why(r, "growing the spill file");
    full_explain(&file_ops_system, fd, r, asked, &why);
    error_limit(-ENOSPC, why.name, why.limit, why.used, why.counts_files ? 1 : asked);
    return error_why(-ENOSPC, "no space is left");
}

// Growing a file beyond RLIMIT_FSIZE would end the program by SIGXFSZ.
static int check_file_limit(uint64_t size)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur)
        return 0;
    return error_why(-EOVERFLOW, "this process may not have files of more than %llu bytes (ulimit -f)",
                     (unsigned long long)limit.rlim_cur);
}

int spill_grow(int fd, uint64_t old_size, uint64_t size, bool sparse)
{
    int r = check_file_limit(size);

    if (r < 0)
        return r;
    r = spillfile_resize(&file_ops_system, fd, old_size, size, sparse);

    if (r == -EOPNOTSUPP && !sparse)
        r = spillfile_resize(&file_ops_system, fd, old_size, size, true);
    return r < 0 ? spill_refused(fd, r, size - old_size) : 0;
}

// fallocate(2) sets the size of a file that is shorter than its range, and never makes a file shorter: unlike
// ftruncate(2).  Where the blocks are there already, that is all that it does.
int spill_grow_shared(int fd, uint64_t old_size, uint64_t size, bool sparse)
{
    uint64_t at = old_size;
    int r = check_file_limit(size);

    if (r < 0)
        return r;
    if (size > INT64_MAX)
        return spill_refused(fd, -EFBIG, size - old_size);
    while (!sparse && r == 0 && at < size)
        r = spillfile_allocate_piece(&file_ops_system, fd, &at, size, FALLOC_FL_KEEP_SIZE);
    if (r == 0 && old_size < size)
        r = file_ops_system.allocate(fd, 0, size - 1, 1);
    if (r == -EOPNOTSUPP)
        return error_why(-EBUSY, "another process has locked the region's file, and this file system needs the lock");
    return r < 0 ? spill_refused(fd, r, size - old_size) : 0;
}

// Blocks that are kept for root count as free: whether this process may have them, the file system says.
static int check_space(int fd, uint64_t lacking)
{
    struct statvfs fs;

    if (file_ops_system.stat_fs(fd, &fs) < 0 || lacking <= (uint64_t)fs.f_bfree * fs.f_frsize)
        return 0;
    return spill_refused(fd, -ENOSPC, lacking);
}

int spill_fill_holes(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t more)
{
    uint64_t lacking = 0;
    int r = from < to ? holes_count(fd, from, to, without, &lacking) : 0;

    if (r == 0 && lacking == 0)
        return 0;
    if (r == 0)
        r = check_space(fd, lacking + more);
    if (r < 0 && r != -EOPNOTSUPP)
        return r;
    r = holes_fill(&file_ops_system, fd, from, to, without);
    // Where neither can be had, no file is sure of its blocks anyway.
    return r < 0 && r != -EOPNOTSUPP ? spill_refused(fd, r, lacking) : 0;
}

// Granted bytes must have their blocks.  Mostly a punch that failed has taken none.
static int fill_again(int fd, uint64_t from, uint64_t to, const struct ranges *without)
{
    uint64_t lacking = 0;

    if (holes_count(fd, from, to, without, &lacking) == 0 && lacking == 0)
        return 0;
    return holes_allocate(&file_ops_system, fd, from, to, without);
}

int spill_discard(int fd, struct ranges *discarded, uint64_t offset, uint64_t length)
{
    struct ranges with = {0};
    int r = discarded_with(discarded, offset, length, &with);

    if (r < 0)
        return r;
    r = spillfile_punch(&file_ops_system, fd, offset, length);
    if (r < 0) {
        // The punch may have been done in part.  Bytes that can't have their blocks again stay discarded.
        int filled = fill_again(fd, offset, offset + length, discarded);

        error_why(r, "giving blocks of the spill file back");
        discarded_replace(discarded, &with, filled < 0 ? 0 : r);
        return r;
    }
    discarded_replace(discarded, &with, 0);
    return 0;
}

int spill_restore(int fd, struct ranges *discarded, uint64_t offset, uint64_t length, bool shared)
{
    uint64_t end = offset + length, missing = ranges_overlap(discarded, offset, length);
    const struct ranges none = {0};
    struct ranges without = {0};
    int r = discarded_without(discarded, offset, length, &without);
    size_t first = ranges_find(discarded, offset), i;

    if (r < 0)
        return r;
    for (i = first; r == 0 && i < discarded->n && discarded->items[i].offset < end; i++) {
        const struct range *hole = &discarded->items[i];
        uint64_t from = hole->offset > offset ? hole->offset : offset, to = hole->offset + hole->length;

        r = holes_allocate(&file_ops_system, fd, from, to < end ? to : end, &none);
    }
    if (r < 0)
        r = spill_refused(fd, r, missing);
    // The last hole may have been filled in part.
    for (size_t k = first; r < 0 && !shared && k < i; k++) {
        const struct range *hole = &discarded->items[k];
        uint64_t from = hole->offset > offset ? hole->offset : offset, to = hole->offset + hole->length;

        spillfile_punch(&file_ops_system, fd, from, (to < end ? to : end) - from);
    }
    discarded_replace(discarded, &without, r);
    return r;
}
