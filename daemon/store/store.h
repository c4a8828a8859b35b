// The spill directory: SPILL/<uid>/<handle>, each file with its record.  No other module of the daemon touches it.
// The calls block: store_open and store_scan at start, all others on workers.
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/spill/fileops.h"
#include "proto/spill/full.h"
#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

struct store;

// ERROR (-errno) is the daemon's own want of memory or descriptors: it passes, and says nothing about the disk.
static inline bool store_is_shortage(int error)
{
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

// Locks the directory and finds out what its file system can do.  OPS: &file_ops_system, or the functions of a test.
// 0; or -errno and *RET_ERROR is a sentence, to be freed; -EBUSY: another daemon has the directory.
int store_open(const char *dir, bool require_mount, const struct file_ops *ops, struct store **ret, char **ret_error);
void store_require_mount(struct store *s, bool require_mount); // from now on, or no longer
// Reads and writes a little in the directory, and on its disk, whatever comes of it: hangs as long as the disk does.
void store_touch(const char *dir);
// Removes empty directories of users and releases the lock.
void store_close(struct store *s);
struct store_lock *store_lock(struct store *s); // see lock.h

const struct spillfile_guarantee *store_guarantee(const struct store *s);
uint32_t store_block_size(const struct store *s);
// Whole blocks are those of N bytes, which is a multiple of the block size.  Before store_scan.
void store_set_block_size(struct store *s, uint32_t n);
const char *store_dir(const struct store *s);
int store_dir_fd(const struct store *s);   // borrowed
dev_t store_device(const struct store *s); // of the file system

struct store_space {
    uint64_t total, used, available; // bytes; available to this daemon; the rest is reserved for root
};
int store_space(struct store *s, struct store_space *ret);
// Names the limit by which a full file system refused with ERROR (-ENOSPC or -EDQUOT), when BYTES were asked for.
void store_explain_full(struct store *s, int error, uint64_t bytes, struct full_limit *ret);

struct store_health {
    char problem[256]; // a sentence: nothing should be granted; "": all is well
    struct full_limit limits[FULL_LIMITS];
    unsigned n_limits;
};
// Whether the spill directory is still at its place and can be written to, and what the file system allows.
void store_look(struct store *s, struct store_health *ret);
// On any thread: a call failed as if the file system could not be written to.  The next store_look finds out.
void store_suspect(struct store *s);
// Gives the reserve of a block and an inode to the file system, for one small thing that must be done on a full disk;
// and makes the reserve again.  Always in pairs: other workers that need the reserve wait in between.
void store_free_reserve(struct store *s);
void store_make_reserve(struct store *s);
// Makes the file system count blocks that were freed a moment ago as free.  True: that may have changed something.
bool store_settle(struct store *s);

enum { STORE_CGROUP_SIZE = 272 }; // bytes of a path, with the NUL

struct store_found {
    struct record record;
    char cgroup[STORE_CGROUP_SIZE]; // as store_read_cgroup; anybody may have written it
    uint64_t size;                  // bytes that are granted; the file has this size
    struct ranges discarded;        // the callback may take it over
    bool lacks_blocks;              // some granted bytes have no blocks, and the disk has no room for them
    uint32_t project;               // of the file; 0: none
    bool needs_repair; // the file has to be made what its record says, by store_repair; DISCARDED is not known
};

// The number of entries that a scan has left alone and logged.
struct store_left {
    uint64_t foreign;    // they are not the daemon's
    uint64_t unreadable; // they are like the daemon's, and cannot be read: their regions are unavailable
};
// Calls FOUND for each region, after its file was made what the record says (see scan.c), unless it needs_repair.
// 0; -errno: the directory, or a user's, cannot be read; or what FOUND returned, unless that was 0.
int store_scan(struct store *s, int (*found)(void *data, struct store_found *region), void *data,
               struct store_left *ret_left);

// Makes the file of a region what REGION->record says, and finds out what is discarded.  May hang, as a process that
// uses the file can hold its lock. 0, or -errno: the file was not reached; other failures are logged.
int store_repair(struct store *s, struct store_found *region);

// How many directories of users have been made since the start.  On any thread.
unsigned store_dirs_made(const struct store *s);
// Makes a file without a name and without a record.  The caller closes *RET_FD.  0 or -errno.
int store_create(struct store *s, uid_t owner, int *ret_fd);
// Writes the record, with the inode of the file, and gives the file its name, which makes it a region.  0; -EEXIST;
// -errno.
int store_link(struct store *s, int fd, struct record *record);
// Notes the control group of the program that makes a region, before store_link.  0 or -errno.
int store_write_cgroup(struct store *s, int fd, const char *path);
// What was noted; "": nothing.  0; -EBADMSG: no path of ours; -errno.
int store_read_cgroup(struct store *s, int fd, char ret[static STORE_CGROUP_SIZE]);
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
int store_write_out(struct store *s, int fd); // as file_ops.write_out.  0 or -errno
// Whether files of A and of B may share blocks.  False means that sharing is impossible; true, that it may
// work.
bool store_may_share(const struct store *a, const struct store *b);
// Makes FD, an empty file, a copy of FROM that shares its blocks.  0; or -errno: the file system can't.
int store_share(struct store *s, int fd, int from);
// As copy_piece (proto/spill/copy.h).
int store_copy_piece(struct store *s, int from, int to, uint64_t *at, uint64_t end);

// Asks the kernel whether any other process has this file open or mapped.  1: none; 0: some process; -errno.  FD is
// open O_RDONLY, and its file belongs to the daemon's user.
int store_is_unused(int fd);
// The same for writing only: processes that have the file open for reading, or map it so, do not count.
int store_is_unwritten(int fd);

// Marks FD, before it is sent to the process with this identity (holder_identity); 0: a process that can't be told
// from others.  See the essay in mark.c.  0 or -errno.
int store_mark(int fd, uint64_t identity);
// Whether the process with this identity may be one that has the file for writing, as far as marks tell.  FD: as below.
// 1, 0 or -errno.
int store_may_be_writer(int fd, uint64_t identity);
// Whether no process uses what was marked, but for one descriptor, or its mappings, of the process with this identity.
// FD: a descriptor of the file without a mark.  1: so it is; 0: it is not, or that is not known; -errno.
int store_is_alone(int fd, uint64_t identity);
// The same for several processes: whether each mark is one of these N, and none of them has more marks than it stands
// in IDENTITIES, which is in ascending order.
int store_are_alone(int fd, const uint64_t *identities, size_t n);
