// The spill directory: SPILL/<uid>/<handle>, each file with its record.  No other module of the daemon touches it.  The calls block:
// store_open and store_scan at start, all others on workers.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/spill/fileops.h"
#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

struct store;

// Locks the directory and finds out what its file system can do.  OPS: &file_ops_system, or the functions of a test.
// 0; or -errno and *RET_ERROR is a sentence, to be freed; -EBUSY: another daemon has the directory.
int store_open(const char *dir, bool require_mount, const struct file_ops *ops, struct store **ret, char **ret_error);
// Removes empty directories of users and releases the lock.
void store_close(struct store *s);

const struct spillfile_guarantee *store_guarantee(const struct store *s);
uint32_t store_block_size(const struct store *s);
const char *store_dir(const struct store *s);
int store_dir_fd(const struct store *s); // borrowed

struct store_space {
    uint64_t total, used, available; // bytes; available to this daemon; the rest is reserved for root
};
int store_space(struct store *s, struct store_space *ret);
// Makes the file system count blocks that were freed a moment ago as free.  True: that may have changed something.
bool store_settle(struct store *s);

struct store_found {
    struct record record;
    uint64_t size;           // bytes that are granted; the file has this size
    struct ranges discarded; // the callback may take it over
    bool lacks_blocks;       // some granted bytes have no blocks, and the disk has no room for them
};
// Calls FOUND for each region, after its file was made what the record says (see scan.c).  *RET_FOREIGN: the number of entries that are not the daemon's: they are
// left alone and logged.  0; -errno; or what FOUND returned, unless that was 0.
int store_scan(struct store *s, int (*found)(void *data, struct store_found *region), void *data,
               uint64_t *ret_foreign);

// Makes a file without a name and without a record.  The caller closes *RET_FD.  0 or -errno.
int store_create(struct store *s, uid_t owner, int *ret_fd);
// Writes the record, with the inode of the file, and gives the file its name, which makes it a region.  0; -EEXIST; -errno.
int store_link(struct store *s, int fd, struct record *record);
// FLAGS: O_RDWR or O_RDONLY.  The descriptor, which the caller closes, or -errno.
int store_open_file(struct store *s, uid_t uid, const struct handle *handle, int flags);
int store_unlink(struct store *s, uid_t uid, const struct handle *handle);
int store_write_record(struct store *s, int fd, const struct record *record); // 0 or -errno
// fsync of the file and of its directory.  0 or -errno.
int store_sync(struct store *s, int fd, uid_t uid);

// Allocates blocks for one piece of the bytes from *AT to TO, and moves *AT.  The file's size stays.  0 or -errno.
int store_allocate_piece(struct store *s, int fd, uint64_t *at, uint64_t to);
// The same at the end of the file: the size follows *AT.  After a failure the file may be longer than *AT.
int store_extend_piece(struct store *s, int fd, uint64_t *at, uint64_t to);
int store_truncate(struct store *s, int fd, uint64_t size);
int store_punch(struct store *s, int fd, uint64_t offset, uint64_t length);

// Asks the kernel whether any other process has this file open or mapped.  1: none; 0: some process; -errno.  FD is open O_RDONLY, and its
// file belongs to the daemon's user.
int store_is_unused(int fd);
