// The regions that this process has from directories, inherited ones too: how many, and how their files are found
// again.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/queue.h>

#include "client/local/local_internal.h"
#include "client/util/fork.h"

static _Atomic uint64_t all_regions, all_bytes;
static LIST_HEAD(, local_backing) all = LIST_HEAD_INITIALIZER(all); // guarded by fork_lock

void local_enlist(struct local_backing *l)
{
    atomic_fetch_add(&all_regions, 1);
    fork_lock();
    LIST_INSERT_HEAD(&all, l, entry);
    fork_unlock();
}

void local_unlist(struct local_backing *l)
{
    fork_lock();
    LIST_REMOVE(l, entry);
    fork_unlock();
    local_uncount_bytes(l);
    atomic_fetch_sub(&all_regions, 1);
}

void local_uncount_bytes(struct local_backing *l)
{
    atomic_fetch_sub(&all_bytes, l->counted);
    l->counted = 0;
}

void local_count_bytes(struct local_backing *l)
{
    atomic_fetch_add(&all_bytes, l->base.size - l->counted);
    l->counted = l->base.size;
}

void local_count(uint64_t *ret_regions, uint64_t *ret_bytes)
{
    *ret_regions = atomic_load(&all_regions);
    *ret_bytes = atomic_load(&all_bytes);
}

// Opened by /proc, not duplicated: locks belong to the open file description, and this one needs its own.
int local_open_again(int fd, bool read_only)
{
    char self[64];
    int opened;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    opened = open(self, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

int local_reopen(const struct handle *handle, bool read_only)
{
    struct descriptor lost = DESCRIPTOR_NONE;
    const void *mapped_at = NULL;
    struct local_backing *l;
    int fd = -ENOENT;

    fork_lock();
    LIST_FOREACH (l, &all, entry)
        if (handle_equal(&l->base.handle, handle)) {
            if (descriptor_is_ours(&l->base.file)) {
                fd = local_open_again(l->base.file.fd, read_only);
                break;
            }
            lost = l->base.file;
            mapped_at = l->base.mapped_at;
        }
    fork_unlock();
    if (fd != -ENOENT || !mapped_at)
        return fd;
    // The program has closed the descriptor.  A region with a name may also be found in its directory.
    lost.access = read_only ? O_RDONLY : O_RDWR;
    return descriptor_reopen(&lost, mapped_at) == 0 ? lost.fd : -ENOENT;
}

void local_visit(const struct local *l, void (*visit)(const struct local_backing *b, void *data), void *data)
{
    const struct local_backing *b;

    fork_lock();
    LIST_FOREACH (b, &all, entry)
        if (b->local == l && descriptor_is_ours(&b->base.file))
            visit(b, data);
    fork_unlock();
}
