// Copying the granted bytes of a region into a new file, piece by piece: for clone.c and move.c.
#include "daemon/op/bound.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "proto/util/checked.h"

// The next granted bytes from *AT on: moves *AT there, and returns where they end.  *AT: there are none.
static uint64_t granted_until(const struct op *op, uint64_t *at)
{
    size_t i = ranges_find(&op->discarded, *at);

    if (i < op->discarded.n && op->discarded.items[i].offset <= *at) {
        *at = u64_min(op->discarded.items[i].offset + op->discarded.items[i].length, op->size);
        i++;
    }
    return i < op->discarded.n ? u64_min(op->discarded.items[i].offset, op->size) : op->size;
}

int op_copy_piece(struct op *op)
{
    uint64_t at = op->at, end = granted_until(op, &at);
    int r;

    if (op_takes_blocks(op) && at < end) {
        op->at = at;
        r = op_extend_piece(op, end);
        return r < 0 ? r : 1;
    }
    at = op->copied;
    end = granted_until(op, &at);
    if (at >= end)
        return 0;
    r = at == 0 ? store_truncate(op_store(op), op->file, op->size) : 0;
    if (r == 0)
        r = store_copy_piece(op_store(op), op->from, op->file, &at, end);
    op->copied = at;
    return r < 0 ? r : 1;
}
