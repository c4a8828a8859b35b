// The holes of a file that somebody else made: sparse files, copies that share their blocks.  Sizes and offsets are bytes.
#pragma once
#include <stdint.h>

#include "proto/util/ranges.h"

// Gives blocks of its own to every byte from FROM to TO, but not to the parts in WITHOUT.  MORE: as many bytes are to be allocated
// afterwards.  Where the file system can't allocate, nothing is done.
// 0; -ENOSPC, with the reason noted: there is too little space, and nothing was done, unless others took the space meanwhile; another
// -errno.  Blocks that were given stay: the program may have stored to them.
int holes_fill(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t more);
