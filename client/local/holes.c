// Where a file lacks blocks is asked of the file system: FIEMAP tells a hole from a block that nobody wrote to yet, and knows which blocks
// the file shares with a copy (the next store to those needs a new block).  The number of blocks (st_blocks) says nothing: XFS allocates
// blocks behind the end of a file.
//
// Two passes: the first counts, so that a file that does not fit is refused before anything is changed.
//
// SEEK_HOLE is not used: it moves the offset of the descriptor, which the caller's own descriptor shares.
#include "client/local/holes.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "client/local/blocks.h"
#include "proto/spill/fileops.h"
#include "proto/spill/spillfile.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

enum { EXTENTS_AT_ONCE = 256 };

struct search {
    int fd;
    const struct ranges *without;
    bool counts;      // the first pass: changes nothing
    uint64_t lacking; // bytes that were counted
};

static int unshare(int fd, uint64_t from, uint64_t to)
{
    int r = 0;

    for (uint64_t at = from, piece; r == 0 && at < to; at += piece) {
        piece = u64_min(to - at, SPILLFILE_PIECE);
        r = file_ops_system.allocate(fd, FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE, at, piece);
    }
    // btrfs: no file there is sure of its blocks anyway.
    return r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

// The bytes from FROM to TO have no blocks, or share them with another file.
static int found(struct search *s, uint64_t from, uint64_t to, bool shared)
{
    if (from >= to)
        return 0;
    if (s->counts) {
        s->lacking += to - from - ranges_overlap(s->without, from, to - from);
        return 0;
    }
    return shared ? unshare(s->fd, from, to) : spill_fill(s->fd, from, to, s->without);
}

static int look_at(struct search *s, const struct fiemap_extent *extent, uint64_t *at, uint64_t to)
{
    uint64_t begin = u64_min(extent->fe_logical, to), end = u64_min(extent->fe_logical + extent->fe_length, to);
    int r = found(s, *at, begin, false);

    // A small file's content may lie beside its attributes.
    if (r == 0 && extent->fe_flags & (FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_DATA_INLINE))
        r = found(s, u64_max(begin, *at), end, extent->fe_flags & FIEMAP_EXTENT_SHARED);
    *at = u64_max(*at, end);
    return r;
}

static int search(struct search *s, uint64_t from, uint64_t to)
{
    _cleanup_free_ struct fiemap *map = calloc(1, sizeof *map + EXTENTS_AT_ONCE * sizeof map->fm_extents[0]);
    uint64_t at = from;
    int r = map ? 0 : -ENOMEM;

    while (r == 0 && at < to) {
        map->fm_start = at;
        map->fm_length = to - at;
        map->fm_extent_count = EXTENTS_AT_ONCE;
        map->fm_mapped_extents = 0;
        if (ioctl(s->fd, FS_IOC_FIEMAP, map) < 0)
            return errno == ENOTTY || errno == EINVAL ? -EOPNOTSUPP : -errno;
        if (map->fm_mapped_extents == 0)
            return found(s, at, to, false);
        for (unsigned i = 0; i < map->fm_mapped_extents && r == 0; i++)
            r = look_at(s, &map->fm_extents[i], &at, to);
    }
    return r;
}

// Blocks that are kept for root count as free: whether this process may have them, the file system says.
static int check_space(int fd, uint64_t lacking)
{
    struct statvfs fs;

    if (file_ops_system.stat_fs(fd, &fs) < 0 || lacking <= (uint64_t)fs.f_bfree * fs.f_frsize)
        return 0;
    return spill_refused(fd, -ENOSPC, lacking);
}

// A file system without FIEMAP (tmpfs) is asked to allocate all that lies between; it leaves alone what is there.
int holes_fill(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t more)
{
    struct search s = {.fd = fd, .without = without, .counts = true};
    int r;

    if (from >= to)
        return 0;
    r = search(&s, from, to);
    if (r == 0 && s.lacking == 0)
        return 0;
    if (r == 0)
        r = check_space(fd, s.lacking + more);
    if (r < 0 && r != -EOPNOTSUPP)
        return r;
    s.counts = false;
    r = r == 0 ? search(&s, from, to) : spill_fill(fd, from, to, without);
    return r < 0 && r != -EOPNOTSUPP ? spill_refused(fd, r, s.lacking) : 0;
}
