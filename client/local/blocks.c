// Blocks of a spill file, without a daemon: granting, giving back, granting again.  Each function either does all of it or
// leaves file and set as they were; spill_fill is the exception.
#include "client/local/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>

#include "client/util/discarded.h"
#include "client/util/error.h"
#include "proto/spill/spillfile.h"

int spill_refused(int fd, int r, uint64_t asked)
{
    struct statvfs fs;
    uint64_t total, available;

    if (r == -EFBIG)
        return error_why(-EOVERFLOW, "the file system has no files of that size");
    if (r != -ENOSPC || file_ops_system.stat_fs(fd, &fs) < 0)
        return error_why(r, "growing the spill file");
    total = (uint64_t)fs.f_blocks * fs.f_frsize;
    available = (uint64_t)fs.f_bavail * fs.f_frsize;
    error_limit(r, "disk", total, total - available, asked);
    return error_why(r, "the disk is full");
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

static int allocate(int fd, uint64_t from, uint64_t to)
{
    int r = 0;

    while (r == 0 && from < to)
        r = spillfile_allocate_piece(&file_ops_system, fd, &from, to, FALLOC_FL_KEEP_SIZE);
    return r;
}

int spill_fill(int fd, uint64_t from, uint64_t to, const struct ranges *without)
{
    int r = 0;

    for (size_t i = ranges_find(without, from); r == 0 && from < to; i++) {
        bool last = i >= without->n || without->items[i].offset >= to;
        uint64_t end = last ? to : without->items[i].offset;

        if (from < end)
            r = allocate(fd, from, end);
        if (last)
            break;
        from = without->items[i].offset + without->items[i].length;
    }
    return r;
}

int spill_discard(int fd, struct ranges *discarded, uint64_t offset, uint64_t length)
{
    struct ranges with = {0};
    int r = discarded_with(discarded, offset, length, &with);

    if (r < 0)
        return r;
    r = spillfile_punch(&file_ops_system, fd, offset, length);
    if (r < 0) {
        // The punch may have been done in part: granted bytes must have their blocks.  If they can't have them, they stay discarded.
        int filled = spill_fill(fd, offset, offset + length, discarded);

        error_why(r, "giving blocks of the spill file back");
        discarded_replace(discarded, &with, filled < 0 ? 0 : r);
        return r;
    }
    discarded_replace(discarded, &with, 0);
    return 0;
}

int spill_restore(int fd, struct ranges *discarded, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, missing = ranges_overlap(discarded, offset, length);
    struct ranges without = {0};
    int r = discarded_without(discarded, offset, length, &without);
    size_t first = ranges_find(discarded, offset), i;

    if (r < 0)
        return r;
    for (i = first; r == 0 && i < discarded->n && discarded->items[i].offset < end; i++) {
        const struct range *hole = &discarded->items[i];
        uint64_t from = hole->offset > offset ? hole->offset : offset, to = hole->offset + hole->length;

        r = allocate(fd, from, to < end ? to : end);
    }
    if (r < 0)
        r = spill_refused(fd, r, missing);
    // The last hole may have been filled in part.
    for (size_t k = first; r < 0 && k < i; k++) {
        const struct range *hole = &discarded->items[k];
        uint64_t from = hole->offset > offset ? hole->offset : offset, to = hole->offset + hole->length;

        spillfile_punch(&file_ops_system, fd, from, (to < end ? to : end) - from);
    }
    discarded_replace(discarded, &without, r);
    return r;
}
