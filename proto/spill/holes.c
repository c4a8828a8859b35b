// Giving blocks to the parts of a file that lack them: see holes.h.
#include "proto/spill/holes.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdbool.h>

#include "proto/spill/extents.h"
#include "proto/spill/spillfile.h"
#include "proto/util/checked.h"

static int allocate(const struct file_ops *ops, int fd, uint64_t from, uint64_t to, int mode)
{
    int r = 0;

    while (r == 0 && from < to)
        r = spillfile_allocate_piece(ops, fd, &from, to, mode | FALLOC_FL_KEEP_SIZE);
    return r;
}

int holes_allocate(const struct file_ops *ops, int fd, uint64_t from, uint64_t to, const struct ranges *without)
{
    int r = 0;

    for (size_t i = ranges_find(without, from); r == 0 && from < to; i++) {
        bool last = i >= without->n || without->items[i].offset >= to;
        uint64_t end = last ? to : without->items[i].offset;

        if (from < end)
            r = allocate(ops, fd, from, end, 0);
        if (last)
            break;
        from = without->items[i].offset + without->items[i].length;
    }
    return r;
}

struct task {
    const struct file_ops *ops;
    int fd;
    const struct ranges *without;
    uint64_t counted;
    bool cannot_part; // some bytes go on sharing their blocks
};

static int count(void *data, uint64_t from, uint64_t to, enum extents_lack lack)
{
    struct task *task = data;

    (void)lack;
    task->counted += to - from - ranges_overlap(task->without, from, to - from);
    return 0;
}

int holes_count(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t *ret)
{
    struct task task = {.without = without};
    int r = extents_find_lacking(fd, from, to, count, &task);

    if (r == 0)
        *ret = task.counted;
    return r;
}

static int count_empty(void *data, uint64_t from, uint64_t to, enum extents_lack lack)
{
    return lack == EXTENTS_SHARED ? 0 : count(data, from, to, lack);
}

int holes_count_empty(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t *ret)
{
    struct task task = {.without = without};
    int r = extents_find_lacking(fd, from, to, count_empty, &task);

    if (r == 0)
        *ret = task.counted;
    return r;
}

static int fill(void *data, uint64_t from, uint64_t to, enum extents_lack lack)
{
    struct task *task = data;
    int r;

    if (lack != EXTENTS_SHARED)
        return holes_allocate(task->ops, task->fd, from, to, task->without);
    r = allocate(task->ops, task->fd, from, to, FALLOC_FL_UNSHARE_RANGE);
    if (r != -EOPNOTSUPP && r != -EINVAL)
        return r;
    task->cannot_part = true;
    return 0;
}

int holes_fill(const struct file_ops *ops, int fd, uint64_t from, uint64_t to, const struct ranges *without)
{
    struct task task = {.ops = ops, .fd = fd, .without = without};
    int r = extents_find_lacking(fd, from, to, fill, &task);

    if (r == -EOPNOTSUPP)
        return holes_allocate(ops, fd, from, to, without);
    return r == 0 && task.cannot_part ? -EOPNOTSUPP : r;
}
