// The record of a region: all that is kept of it on disk beside its content.  It is an extended attribute of the
// region's file, so that the spill directory is the only database.  The format is described in record.c; files on disk
// have it, so a change needs a new version.  Pure, but for record_load and record_store.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/spill/fileops.h"
#include "proto/util/name.h"

#define RECORD_XATTR "user.diskalloc"

enum {
    RECORD_VERSION = 5, // the newest; see record.c
    RECORD_MAX = 1024,  // bytes, of any version
};

enum record_flag {
    RECORD_SPARSE = 1 << 0,    // no blocks are allocated in advance
    RECORD_COMMITTED = 1 << 1, // the region was committed: used and element_size are valid
    RECORD_UNLINKED = 1 << 2,  // the region had a name and was unlinked; it is kept for its holders
    RECORD_SHARED = 1 << 4,    // the region has had more than one attachment at a time
    RECORD_HAS_HOLES = 1 << 3, // parts were discarded; the holes of the file say which
    // A daemon has let a sole writer in.  Whether that writer still maps the file, only the kernel knows.
    RECORD_SOLE_WRITER = 1 << 5,
    RECORD_MARKED = 1 << 6, // each descriptor that a client may have was marked (daemon/store/mark.c)
    // Clients may have descriptors by which only the daemon that opened them knows who maps the file
    // (fence_generation).
    RECORD_PASSTHROUGH = 1 << 7,
    RECORD_EXPIRES = 1 << 8, // the region is removed when nobody has used it for a time: expires is valid
    RECORD_UNUSED = 1 << 9,  // with RECORD_EXPIRES: nobody uses it, and unused_since is valid
    // Halves of a move to another disk (daemon/op/move.c).  INCOMING: the region is the file on the other disk, unless
    // that has MOVED.  MOVED: the region is the file on the other disk.
    RECORD_INCOMING = 1 << 10,
    RECORD_MOVED = 1 << 11,
    // Bits 24 to 31, with RECORD_SHARED: how many holders the region had when the last one came; 0 or 255: not known.
    RECORD_HOLDERS_AT = 24,
    RECORD_HOLDERS_MOST = 255,
};

// struct record.granted of a record of version 1, which does not tell.
#define RECORD_UNKNOWN_SIZE UINT64_MAX

struct record {
    struct handle handle;
    uint32_t owner_uid;
    uint32_t owner_gid;    // the owner's primary group in the user database when the region was made
    uint32_t mode;         // who else may attach the region, in the bits of chmod(2)
    uint32_t flags;        // enum record_flag
    uint64_t granted;      // bytes: the region's size, as its daemon knows it; clients can change the file's size
    uint64_t file_id;      // of the file that the record was written for (proto/spill/file_id); 0: not known
    uint64_t created;      // seconds since the epoch
    uint64_t used;         // bytes, as last committed
    uint32_t element_size; // bytes, as last committed
    uint64_t expires;      // seconds without use after which the region is removed
    uint64_t unused_since; // seconds since the epoch
    uint8_t name_length;   // bytes; 0: the region is anonymous
    char name[NAME_MAX_LENGTH + 1];
};

// Copies a record, and no more of its name than there is: for a record that has room for that name and no longer one.
void record_copy(struct record *to, const struct record *from);

// Writes the record to RET and returns its length in bytes.
size_t record_encode(const struct record *r, uint8_t ret[static RECORD_MAX]);
// A record of version 1 has no granted size (RECORD_UNKNOWN_SIZE) and no file_id (0).
// 0; -EPROTONOSUPPORT: the record is of a newer version, and its file must be left alone; -EBADMSG: the record is
// damaged.
int record_decode(const uint8_t *bytes, size_t n, struct record *ret);

// Read and write the record of a file: 0 or -errno.  record_load returns -ENODATA for a file that has no record, and
// the errors of record_decode.
int record_load(const struct file_ops *ops, int fd, struct record *ret);
int record_store(const struct file_ops *ops, int fd, const struct record *r);
