// The spill directory: SPILL/<uid>/<handle>, each file with its record.  The only module that touches it, by blocking calls:
// store_open and store_scan at start, all others on workers.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/spill/fileops.h"
#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

struct store;

// Locks the directory and finds out what it can do.  OPS: &file_ops_system, or a test's.
// 0, or -errno with a sentence in *RET_ERROR, to be freed; -EBUSY: another daemon has it.
int store_open(const char *dir, bool require_mount, const struct file_ops *ops, struct store **ret, char **ret_error);
// Removes empty user directories and lets the lock go.
void store_close(struct store *s);

const struct spillfile_guarantee *store_guarantee(const struct store *s);
uint32_t store_block_size(const struct store *s);
const char *store_dir(const struct store *s);
int store_dir_fd(const struct store *s); // borrowed

struct store_space {
    uint64_t total, used, available; // available to this daemon; what is neither is reserved for root
};
int store_space(struct store *s, struct store_space *ret);
// Makes blocks that were freed a moment ago count as free; true: it may have changed something.
bool store_settle(struct store *s);

struct store_found {
    struct record record;
    uint64_t size;           // its file's
    struct ranges discarded; // FOUND may take it
};
// Calls FOUND for each region that is there; half-made growth is undone before.
// *RET_FOREIGN: entries that are none of ours; they are left alone and reported in the log.  0, -errno, or what FOUND returned.
int store_scan(struct store *s, int (*found)(void *data, struct store_found *region), void *data,
               uint64_t *ret_foreign);

// A file without a name yet, with its record.  *RET_FD is the caller's.
int store_create(struct store *s, const struct record *record, int *ret_fd);
// Gives it the name that makes it a region.  -EEXIST.
int store_link(struct store *s, int fd, const struct record *record);
// FLAGS: O_RDWR or O_RDONLY.  The fd or -errno.
int store_open_file(struct store *s, uid_t uid, const struct handle *handle, int flags);
int store_unlink(struct store *s, uid_t uid, const struct handle *handle);
int store_write_record(struct store *s, int fd, const struct record *record);
// fsync of the file and of its directory.
int store_sync(struct store *s, int fd, uid_t uid);

// One piece of the way from *AT to TO; *AT moves.  0 or -errno.
int store_allocate_piece(struct store *s, int fd, uint64_t *at, uint64_t to);
int store_truncate(struct store *s, int fd, uint64_t size);
int store_punch(struct store *s, int fd, uint64_t offset, uint64_t length);

// Whether the kernel says that nobody else has this file open or mapped: 1, 0, or -errno.  FD: open O_RDONLY, by the file's owner.
int store_is_unused(int fd);
