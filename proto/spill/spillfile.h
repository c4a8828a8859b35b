// Spill files: the files that regions lie in.  Both the daemon and the library's local backend (dir:) use these
// functions to grow a file so that every granted byte has a block on disk, to give blocks back, and to find out whether
// the file system keeps the promise that a granted byte can always be stored to.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/spill/fileops.h"
#include "proto/util/ranges.h"

#define SPILLFILE_PIECE ((uint64_t)1 << 30) // bytes that are allocated, or freed, with one call

// Allocates blocks for the bytes from *AT on, up to TO and not more than SPILLFILE_PIECE, and moves *AT to the end of
// them. MODE: FALLOC_FL_KEEP_SIZE, or 0: the file's size grows to *AT if it is smaller.  0 or -errno.
int spillfile_allocate_piece(const struct file_ops *ops, int fd, uint64_t *at, uint64_t to, int mode);

// On btrfs, freed blocks can be used again only when a transaction has ended: ends it, and returns true.  An allocation
// that failed with ENOSPC or EDQUOT is then worth a second try.  False on other file systems, and on failure.
bool spillfile_settle(const struct file_ops *ops, int fd);

// Grows or shrinks the file from OLD_SIZE to NEW_SIZE in one call: all pieces, then the size.  0, or -errno and the
// file is as before.  Changing the size is the one step that makes a grow or shrink true: after a crash the size is the
// old or the new one, and blocks behind it are dropped by setting the size once more.
int spillfile_resize(const struct file_ops *ops, int fd, uint64_t old_size, uint64_t new_size, bool sparse);

// Frees the blocks of LENGTH bytes from OFFSET on.  The file's size stays.
int spillfile_punch(const struct file_ops *ops, int fd, uint64_t offset, uint64_t length);

// Puts the holes of a file into RET, which must be empty: in a file that grew by spillfile_resize, these are the
// discarded parts.
// 0; -EOPNOTSUPP: the file system has no FIEMAP; another -errno.
int spillfile_read_holes(int fd, uint64_t size, uint32_t block_size, struct ranges *ret);

struct spillfile_guarantee {
    bool hard;               // a store to an allocated block never fails for want of space
    bool can_allocate;       // fallocate(2) works
    bool can_discard;        // FIEMAP works, so that holes can be found again after a restart
    bool can_share;          // files may share blocks (FICLONE), as far as is known
    const char *file_system; // "ext4"; static storage
    const char *reason;      // why it is not hard, otherwise ""; static storage
};

// Finds out what the file system of the directory DIRFD guarantees: by its type, and by trying with an O_TMPFILE in the
// directory.  With SET_NOCOW, sets No_COW on a directory of btrfs, which makes its guarantee hard.
// 0, or -errno: the directory can't be used at all.
int spillfile_probe(int dirfd, bool set_nocow, struct spillfile_guarantee *ret);

// Makes a hard guarantee soft if something around the directory breaks it: other users could share blocks, or the
// device below can run out of space.  Best effort: not everything can be seen from here.
void spillfile_probe_surroundings(int dirfd, struct spillfile_guarantee *g);
