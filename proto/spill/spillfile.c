// Growing, shrinking and discarding in a spill file, and what its file system guarantees: see spillfile.h.
#include "proto/spill/spillfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proto/spill/extents.h"
#include "proto/spill/filesystem.h"
#include "proto/spill/surroundings.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/page.h"

bool spillfile_settle(const struct file_ops *ops, int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (unsigned)fs.f_type == BTRFS_SUPER_MAGIC && ops->sync_fs(fd) == 0;
}

int spillfile_allocate_piece(const struct file_ops *ops, int fd, uint64_t *at, uint64_t to, int mode)
{
    uint64_t piece = u64_min(to - *at, SPILLFILE_PIECE);
    int r = ops->allocate(fd, mode, *at, piece);

    if ((r == -ENOSPC || r == -EDQUOT) && spillfile_settle(ops, fd))
        r = ops->allocate(fd, mode, *at, piece);
    if (r == 0)
        *at += piece;
    return r;
}

int spillfile_resize(const struct file_ops *ops, int fd, uint64_t old_size, uint64_t new_size, bool sparse)
{
    uint64_t at = old_size;
    int r = 0;

    if (new_size > INT64_MAX)
        return -EOVERFLOW;
    while (!sparse && r == 0 && at < new_size)
        r = spillfile_allocate_piece(ops, fd, &at, new_size, FALLOC_FL_KEEP_SIZE);
    if (r == 0)
        r = ops->truncate(fd, new_size);
    if (r < 0 && new_size > old_size)
        ops->truncate(fd, old_size);
    return r;
}

// Writes out the page of the page cache that EDGE lies within: up to 2 MiB large, and more where the smallest page is
// larger than 4 KiB.  The kernel splits a large page only while it is clean.  If a large page reached into the hole
// unsplit, a store next to the hole would allocate blocks for the whole page, and so for a part of the hole.
static void write_out_around(int fd, uint64_t edge)
{
    const uint64_t page = page_size(), largest_page = page * (page / 8); // a table of pages has 8 bytes an entry
    uint64_t from = align_down(edge, largest_page);

    if (from != edge)
        sync_file_range(fd, (off_t)from, (off_t)largest_page,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

int spillfile_punch(const struct file_ops *ops, int fd, uint64_t offset, uint64_t length)
{
    write_out_around(fd, offset);
    write_out_around(fd, offset + length);
    return ops->allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

struct hole_list {
    struct ranges *holes;
    uint32_t block_size;
    uint64_t size;
};

// Adds the whole blocks between two extents.  The last block of the file may be partly behind its size.
static int add_hole(void *data, uint64_t from, uint64_t to, enum extents_lack lack)
{
    const struct hole_list *list = data;

    if (lack != EXTENTS_NONE)
        return 0;
    from = align_up(from, list->block_size);
    to = to == list->size ? align_up(to, list->block_size) : align_down(to, list->block_size);
    return from < to ? ranges_add(list->holes, from, to - from) : 0;
}

int spillfile_read_holes(int fd, uint64_t size, uint32_t block_size, struct ranges *ret)
{
    struct hole_list list = {.holes = ret, .block_size = block_size, .size = size};

    return extents_find_lacking(fd, 0, size, add_hole, &list);
}

// btrfs copies on write, which needs new blocks, unless the file was made in a No_COW directory.
static void make_nocow(int dirfd, bool set, struct spillfile_guarantee *g)
{
    int flags = 0;

    if (ioctl(dirfd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_NOCOW_FL)
        return;
    flags |= FS_NOCOW_FL;
    if (!set || ioctl(dirfd, FS_IOC_SETFLAGS, &flags) < 0)
        g->reason = "btrfs without No_COW: overwriting needs new blocks";
}

// FD: a file without a name and without content.
static int try_allocate(int fd, bool *ret_can_discard)
{
    struct ranges holes = {0};

    *ret_can_discard = spillfile_read_holes(fd, 1 << 16, 4096, &holes) == 0;
    ranges_deinit(&holes);
    return file_ops_system.allocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 16);
}

// Whether the kernel says that the file system cannot share blocks.  Empty files tell as well as others, and need no
// space: a full disk must not look as if it could not.  Without inodes for these files, the kind has to tell.
static bool cannot_share_blocks(int dirfd, const struct spillfile_guarantee *g)
{
    _cleanup_close_ int a = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    _cleanup_close_ int b = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (a < 0 || b < 0)
        return strcmp(g->file_system, "ext4") == 0;
    return ioctl(b, FICLONE, a) < 0 && (errno == EOPNOTSUPP || errno == ENOTTY);
}

int spillfile_probe(int dirfd, bool set_nocow, struct spillfile_guarantee *ret)
{
    struct spillfile_guarantee g = {0};
    _cleanup_close_ int fd = -1;
    struct statfs fs;
    int r;

    if (fstatfs(dirfd, &fs) < 0)
        return -errno;
    g.reason = filesystem_classify(&fs, &g.file_system);
    if ((unsigned)fs.f_type == BTRFS_SUPER_MAGIC)
        make_nocow(dirfd, set_nocow, &g);
    // No spill file is made in another way.  A full disk may have no room for this one.
    fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : try_allocate(fd, &g.can_discard);
    if (fd >= 0 && r == -EOPNOTSUPP)
        g.reason = "no fallocate";
    else if (r < 0 && r != -ENOSPC && r != -EDQUOT)
        return r;
    g.can_allocate = r != -EOPNOTSUPP;
    g.can_share = !cannot_share_blocks(dirfd, &g);
    g.hard = g.reason[0] == '\0';
    *ret = g;
    return 0;
}

void spillfile_probe_surroundings(int dirfd, struct spillfile_guarantee *g)
{
    struct surroundings around;

    if (!g->hard)
        return;
    if (surroundings_read(dirfd, &around) < 0) {
        g->reason = "it cannot be seen how it is mounted (/proc/self/mountinfo)";
    } else if (!around.is_whole_file_system && g->can_share) {
        // On xfs and btrfs, whoever has a descriptor of a region, even for reading only, can make a file of their own
        // share the region's blocks (FICLONE) if they may write anywhere on that file system.  So does a snapshot.
        // Overwriting a shared block needs a new block.
        g->reason = "reflink: others who write to this file system can share its blocks, also by snapshots; give the "
                    "spill directory one of its own";
    } else {
        const char *why = surroundings_why_soft(dirfd, &around);

        g->reason = why ? why : "";
    }
    g->hard = g->reason[0] == '\0';
}
