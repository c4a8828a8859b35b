// Giving blocks to the parts of a file that lack them: of a sparse file, of a copy, and of one that was changed by
// others.
#pragma once
#include "proto/spill/fileops.h"
#include "proto/util/ranges.h"

// Allocates blocks for the bytes from FROM to TO, but not for the parts in WITHOUT.  The file's size stays.
// 0; or -errno, and the blocks that were allocated stay.
int holes_allocate(const struct file_ops *ops, int fd, uint64_t from, uint64_t to, const struct ranges *without);

// Counts the bytes from FROM to TO, without those in WITHOUT, that have no blocks of their own.  0, or as
// extents_find_lacking.
int holes_count(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t *ret);

// The same, but blocks that another file has too count as blocks.
int holes_count_empty(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t *ret);

// Gives blocks to what holes_count counts.  A file system without FIEMAP (tmpfs) is asked to allocate all that lies
// between, which leaves alone what is there. 0; -EOPNOTSUPP: some bytes share their blocks with another file, and the
// file system cannot part them; another -errno.
int holes_fill(const struct file_ops *ops, int fd, uint64_t from, uint64_t to, const struct ranges *without);
