// How a region's file differs from what is granted of the region, while the daemon runs.  A client that has a
// descriptor can make its file longer or shorter, take blocks behind its end, and punch holes into it.
//
// Blocks are counted in two ways.  The number of blocks (st_blocks) costs nothing, but counts the file system's own
// metadata as well, so that a few blocks more mean nothing.  The extents tell exactly, and are asked for in a deep
// look.
#include "daemon/store/deviation.h"

#include <errno.h>

#include "daemon/store/store_internal.h"
#include "proto/spill/extents.h"
#include "proto/spill/holes.h"
#include "proto/util/checked.h"

// Bytes of blocks that a file may have for metadata of the file system; and 1/256 of its size.
enum { METADATA_SLACK = 64 * 1024 };

// The file system may not have FIEMAP (tmpfs); then the count of blocks has to do.
// Where the guarantee is soft, regions share blocks with their clones (daemon/op/clone.c).
static int count_missing(const struct store *s, int fd, const struct store_grant *g, uint64_t blocks, uint64_t charged,
                         uint64_t *ret)
{
    int r = s->guarantee.hard ? holes_count(fd, 0, g->size, g->discarded, ret)
                              : holes_count_empty(fd, 0, g->size, g->discarded, ret);

    if (r != -EOPNOTSUPP)
        return r;
    *ret = blocks < charged ? charged - blocks : 0;
    return 0;
}

// Where the extents are not known (tmpfs), nothing can be discarded, so all extra blocks are behind the end; and the
// count has no metadata in it.  Blocks that make up for punched ones are not seen there.
static int count_behind(int fd, const struct store_grant *g, uint64_t end, bool deep, uint64_t too_many,
                        struct store_deviation *ret)
{
    int r;

    if (g->has_odd_end || (!deep && !ret->extra))
        return 0;
    r = extents_count_behind(fd, end, &ret->behind);
    if (r == -EOPNOTSUPP)
        ret->behind = too_many;
    ret->extra = u64_max(ret->extra, ret->behind);
    return r == -EOPNOTSUPP ? 0 : r;
}

int store_compare(struct store *s, int fd, const struct store_grant *g, bool deep, struct store_deviation *ret)
{
    uint64_t end = align_up(g->size, s->block_size), charged = end - g->discarded->sum, size, blocks;
    struct stat st;
    int r = s->ops->stat(fd, &st);

    *ret = (struct store_deviation){0};
    if (r < 0)
        return r;
    size = (uint64_t)st.st_size;
    blocks = (uint64_t)st.st_blocks * 512;
    ret->longer = size > g->size ? size - g->size : 0;
    ret->shorter = size < g->size ? g->size - size : 0;
    if (!s->guarantee.can_allocate)
        return 0;
    if (blocks > charged + charged / 256 + METADATA_SLACK)
        ret->extra = blocks - charged;
    r = count_behind(fd, g, end, deep, blocks > charged ? blocks - charged : 0, ret);
    if (r == 0 && !g->sparse && (deep || blocks < charged))
        r = count_missing(s, fd, g, blocks, charged, &ret->missing);
    return r;
}

int store_fill(struct store *s, int fd, uint64_t from, uint64_t to, const struct ranges *discarded)
{
    return holes_fill(s->ops, fd, from, to, discarded);
}
