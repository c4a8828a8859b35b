// Making elements zero in a vector that was grown just now.  Bytes that nobody has written to are zero already, and a
// page that is not touched costs neither memory nor time.  But another process may have grown the region before, and
// may have written there.  So the question is which bytes to touch:
//   - a backing that keeps its descriptor knows the size that its last grow found (fresh_from): the bytes behind it are
//     new;
//   - with a daemon, the file itself is asked: SEEK_DATA skips blocks that nobody wrote to.
#include "client/region/region_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/util/error.h"
#include "proto/util/cleanup.h"

enum { NOT_WORTH_A_LOOK = 256 << 10 };

// A descriptor that the caller owns: its offset is nobody else's.
static int open_own(struct diskalloc_region *r)
{
    int fd;

    pthread_mutex_lock(&r->lock);
    fd = region_open_file(r);
    pthread_mutex_unlock(&r->lock);
    error_forget();
    return fd;
}

static void zero_data(char *base, int fd, uint64_t from, uint64_t to)
{
    while (from < to) {
        off_t data = lseek(fd, (off_t)from, SEEK_DATA), end;

        if (data < 0 && errno == ENXIO)
            return;
        if (data < 0)
            data = (off_t)from;
        if ((uint64_t)data >= to)
            return;
        end = lseek(fd, data, SEEK_HOLE);
        if (end <= data || (uint64_t)end > to)
            end = (off_t)to;
        memset(base + data, 0, (size_t)(end - data));
        from = (uint64_t)end;
    }
}

void region_zero(struct diskalloc_region *r, uint64_t from, uint64_t to, uint64_t size_before)
{
    _cleanup_close_ int fd = -1;

    if (r->backing->keeps_fd && r->size > size_before && to > r->backing->fresh_from)
        to = r->backing->fresh_from;
    if (from >= to)
        return;
    if (!r->backing->keeps_fd && to - from > NOT_WORTH_A_LOOK)
        fd = open_own(r);
    if (fd >= 0)
        zero_data(r->mapping.base, fd, from, to);
    else
        memset(r->mapping.base + from, 0, to - from);
}
