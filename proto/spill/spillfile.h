// What the daemon and the embedded library do alike to a spill file: growing it so that a granted byte is a byte on disk,
// and finding out whether its file system keeps such a promise.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/spill/fileops.h"
#include "proto/util/ranges.h"

#define SPILLFILE_PIECE ((uint64_t)1 << 30) // fallocate and free go in pieces of this size

// Blocks for the bytes from FROM to TO that the file does not own yet, PIECE by piece.  The size stays.
// Grants one piece and returns the offset reached (TO: all is granted), or -errno.
int64_t spillfile_allocate_piece(const struct file_ops *ops, int fd, uint64_t from, uint64_t to);

// On a file system where freed blocks are free only once a transaction has ended (btrfs): ends it, and true: what was refused
// for want of space is worth a second try.
bool spillfile_settle(const struct file_ops *ops, int fd);

// Grows or shrinks the file from OLD_SIZE to NEW_SIZE in one call: all pieces, then the size.  0, or -errno and the file is as
// before.  Changing the size is the one step that makes a grow or shrink true: after a crash the size is the old or the new one,
// and blocks behind it are dropped by setting the size once more.
int spillfile_resize(const struct file_ops *ops, int fd, uint64_t old_size, uint64_t new_size, bool sparse);

// Discarding: the blocks from OFFSET on go, the size stays.
int spillfile_punch(const struct file_ops *ops, int fd, uint64_t offset, uint64_t length);

// The holes of a file of SIZE bytes that was made by spillfile_resize, in whole blocks: what is discarded of it.  RET must be empty.
// By FIEMAP, which unlike SEEK_HOLE tells a hole from blocks that were not written to yet.
// 0; -EOPNOTSUPP: the file system can't say; -errno.
int spillfile_read_holes(int fd, uint64_t size, uint32_t block_size, struct ranges *ret);

struct spillfile_guarantee {
    bool hard;         // fallocate reserves, for good
    bool can_allocate; // fallocate works at all
    bool can_discard;  // its holes can be found again
    const char *file_system;
    const char *reason; // why it is not hard, "" otherwise; static storage
};

// Asks the file system of directory DIRFD, by its type and by trying on an O_TMPFILE there.  Sets No_COW on the
// directory where that is what makes it hard (btrfs) and SET_NOCOW.  0 or -errno: the directory can't be used at all.
int spillfile_probe(int dirfd, bool set_nocow, struct spillfile_guarantee *ret);

// Looks for what makes a guarantee soft although the file system keeps it: blocks that others could share, a device that can
// run out below.  Best effort: what cannot be seen from here is not found.
void spillfile_probe_surroundings(int dirfd, struct spillfile_guarantee *g);
