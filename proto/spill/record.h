// What is written down about a region: one `user.` extended attribute of its file, so that the spill directory is the only
// database.  The format is on disk and hard to change: see record.c.  Pure but for record_load and record_store.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/spill/fileops.h"
#include "proto/util/name.h"

#define RECORD_XATTR "user.diskalloc"

enum {
    RECORD_VERSION = 1,
    RECORD_MAX = 1024, // bytes, of any version
};

enum record_flag {
    RECORD_SPARSE = 1 << 0,    // nothing is preallocated
    RECORD_COMMITTED = 1 << 1, // used and element_size mean something
    RECORD_UNLINKED = 1 << 2,  // was named, has lost its name, has holders
    RECORD_SHARED = 1 << 4,    // more than one attachment at a time has been seen
    RECORD_HAS_HOLES = 1 << 3, // something was discarded: which parts, the file's own holes say
};

struct boot_id {
    uint8_t bytes[16];
};

struct record {
    struct handle handle;
    uint32_t owner_uid;
    uint32_t owner_gid; // the owner's primary group in the user database when the region was made
    uint32_t mode;      // chmod's bits; who else may attach
    uint32_t flags;     // enum record_flag
    struct boot_id boot;
    uint64_t created; // seconds since the epoch
    uint64_t used;    // bytes, as last committed
    uint32_t element_size;
    uint8_t name_length; // 0: anonymous
    char name[NAME_MAX_LENGTH + 1];
};

// The number of bytes written to RET.
size_t record_encode(const struct record *r, uint8_t ret[static RECORD_MAX]);
// 0; -EPROTONOSUPPORT: of a newer version, to be left alone; -EBADMSG: damaged.
int record_decode(const uint8_t *bytes, size_t n, struct record *ret);

// To and from the file.  record_load: -ENODATA when it has none, or as record_decode; else 0 or -errno.
int record_load(const struct file_ops *ops, int fd, struct record *ret);
int record_store(const struct file_ops *ops, int fd, const struct record *r);

// The running kernel's boot id; zero bytes where /proc does not tell.
struct boot_id boot_id_read(void);
