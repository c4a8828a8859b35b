// Copying the content of a spill file into another one: see copy.h.
//
// By reading and writing, and not by copy_file_range(2): where a file system can share blocks, that call shares them,
// and a store to a shared block needs a new one, which a granted byte must never do.  SEEK_DATA finds what was stored
// through a mapping too, in blocks that were allocated and not written to the disk yet.
#include "proto/spill/copy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

#define CHUNK ((uint64_t)1 << 20) // bytes

enum { MOST_CHUNKS = 512 }; // of one piece, whose data may lie in very many small parts

// Moves *AT to the next byte before END that may be stored to; *RET_END: the end of that part.  False: there is none.
static bool find_data(int fd, uint64_t *at, uint64_t end, uint64_t *ret_end)
{
    off_t data = lseek(fd, (off_t)*at, SEEK_DATA), hole;

    if (data < 0 && errno == ENXIO)
        return false;
    // Where the kernel can't tell, all of it is read.
    *at = data < 0 ? *at : (uint64_t)data;
    if (*at >= end)
        return false;
    hole = lseek(fd, (off_t)*at, SEEK_HOLE);
    *ret_end = hole > 0 && (uint64_t)hole > *at ? u64_min((uint64_t)hole, end) : end;
    return true;
}

static int write_all(const struct file_ops *ops, int to, const char *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = ops->write(to, bytes + done, size - done, offset + done);

        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    return 0;
}

// Copies one chunk, and moves *AT.  A file that was made shorter has nothing more.
static int copy_chunk(const struct file_ops *ops, int from, int to, char *buffer, uint64_t *at, uint64_t end)
{
    ssize_t n = ops->read(from, buffer, (size_t)u64_min(end - *at, CHUNK), *at);
    int r = n > 0 ? write_all(ops, to, buffer, (size_t)n, *at) : (int)n;

    if (r < 0)
        return r;
    *at = n > 0 ? *at + (uint64_t)n : end;
    return 0;
}

int copy_piece(const struct file_ops *ops, int from, int to, uint64_t *at, uint64_t end)
{
    _cleanup_free_ char *buffer = malloc(CHUNK);
    uint64_t now = *at, copied = 0, data_end;
    int r = buffer ? 0 : -ENOMEM;

    for (int i = 0; r == 0 && i < MOST_CHUNKS && copied < COPY_PIECE; i++) {
        uint64_t before;

        if (!find_data(from, &now, end, &data_end)) {
            now = end;
            break;
        }
        before = now;
        r = copy_chunk(ops, from, to, buffer, &now, u64_min(data_end, now + CHUNK));
        copied += now - before;
    }
    if (r == 0)
        *at = now;
    return r;
}
