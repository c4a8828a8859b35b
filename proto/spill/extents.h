// The parts of a file for which its file system has no blocks, or no blocks of their own, as FIEMAP tells.
#pragma once
#include <stdint.h>

enum extents_lack {
    EXTENTS_NONE,   // no blocks
    EXTENTS_SHARED, // blocks that another file has too: the next store to them needs new ones
    EXTENTS_INLINE, // no blocks: the content of a small file lies beside its attributes
};

// Counts the bytes of blocks that the file has from FROM on, also behind its end; of a file with very many such
// extents, some of them.  0, or as below.
int extents_count_behind(int fd, uint64_t from, uint64_t *ret);

// Calls FOUND, in order, for each such part of the bytes from FROM to TO, until it returns an error.  FIEMAP tells a
// hole from an allocated block that nobody wrote to yet; SEEK_HOLE does not, and it moves the offset of the
// descriptor.  The number of blocks (st_blocks) says nothing: XFS allocates blocks behind the end of a file. 0;
// -EOPNOTSUPP: the file system has no FIEMAP; another -errno.
int extents_find_lacking(int fd, uint64_t from, uint64_t to,
                         int (*found)(void *data, uint64_t from, uint64_t to, enum extents_lack lack), void *data);
