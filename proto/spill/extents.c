// The parts of a file that lack blocks: see extents.h.
#include "proto/spill/extents.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

enum { EXTENTS_AT_ONCE = 256 };

struct search {
    int (*found)(void *data, uint64_t from, uint64_t to, enum extents_lack lack);
    void *data;
    uint64_t at, to;
};

static int look_at(struct search *s, const struct fiemap_extent *extent)
{
    uint64_t begin = u64_min(extent->fe_logical, s->to), end = u64_min(begin + extent->fe_length, s->to);
    int r = 0;

    if (s->at < begin)
        r = s->found(s->data, s->at, begin, EXTENTS_NONE);
    begin = u64_max(begin, s->at);
    if (r == 0 && begin < end && extent->fe_flags & FIEMAP_EXTENT_SHARED)
        r = s->found(s->data, begin, end, EXTENTS_SHARED);
    else if (r == 0 && begin < end && extent->fe_flags & FIEMAP_EXTENT_DATA_INLINE)
        r = s->found(s->data, begin, end, EXTENTS_INLINE);
    s->at = u64_max(s->at, end);
    return r;
}

int extents_find_lacking(int fd, uint64_t from, uint64_t to,
                         int (*found)(void *data, uint64_t from, uint64_t to, enum extents_lack lack), void *data)
{
    struct search s = {.found = found, .data = data, .at = from, .to = to};
    _cleanup_free_ struct fiemap *map = calloc(1, sizeof *map + EXTENTS_AT_ONCE * sizeof map->fm_extents[0]);
    int r = map ? 0 : -ENOMEM;

    while (r == 0 && s.at < to) {
        map->fm_start = s.at;
        map->fm_length = to - s.at;
        map->fm_extent_count = EXTENTS_AT_ONCE;
        map->fm_mapped_extents = 0;
        if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
            return errno == ENOTTY || errno == EINVAL ? -EOPNOTSUPP : -errno;
        if (map->fm_mapped_extents == 0)
            return found(data, s.at, to, EXTENTS_NONE);
        for (unsigned i = 0; i < map->fm_mapped_extents && r == 0; i++)
            r = look_at(&s, &map->fm_extents[i]);
    }
    return r;
}

int extents_count_behind(int fd, uint64_t from, uint64_t *ret)
{
    _cleanup_free_ struct fiemap *map = calloc(1, sizeof *map + EXTENTS_AT_ONCE * sizeof map->fm_extents[0]);

    if (!map)
        return -ENOMEM;
    map->fm_start = from;
    map->fm_length = FIEMAP_MAX_OFFSET - from;
    map->fm_extent_count = EXTENTS_AT_ONCE;
    if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
        return errno == ENOTTY || errno == EINVAL || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
    *ret = 0;
    for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
        const struct fiemap_extent *extent = &map->fm_extents[i];
        uint64_t end = extent->fe_logical + extent->fe_length;

        *ret += end > from ? end - u64_max(extent->fe_logical, from) : 0;
    }
    return 0;
}
