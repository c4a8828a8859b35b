// The structs of a directory, and of one region of it, which the files of this folder share.
#pragma once
#include <dirent.h>
#include <pthread.h>
#include <sys/queue.h>

#include "client/local/local.h"
#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

enum { LOCAL_EVENTS_MAX = 8 };

// events.c's, and guarded by the lock of the directory.
struct local_events {
    struct descriptor fd;   // readable while there are events; none until a program asks for it
    struct descriptor bell; // what is sent here can be read there
    struct diskalloc_event queue[LOCAL_EVENTS_MAX];
    unsigned n;
};

struct local {
    struct backend base;
    char *path;            // owned: the directory
    pthread_mutex_t lock;  // held while dir is opened again; of events
    struct descriptor dir; // the directory; to be used after local_hold_directory
    struct spillfile_guarantee guarantee;
    struct local_events events;
};

struct local_backing {
    struct backing base;
    LIST_ENTRY(local_backing) entry; // of all
    struct local *local;             // the backend, which outlives its backings
    char name[NAME_MAX_LENGTH + 1];  // "": the region is anonymous
    uint64_t counted;                // bytes of this region that all_bytes has
    bool can_discard;                // the file system can tell later which parts are discarded
    bool sole_writer;                // no other user may write
    bool needs_gate;                 // users who may not write may read the file
    void *gate;                      // a page of the gate, which keeps its lock; NULL: none
    bool lock_is_due;                // the file was opened again, and lacks the lock of a writer
    // The file was cut on a disk that had no room for the record, which counts elements behind the end.
    bool record_is_due;
};

// make.c

// Makes a file without a name, of the size that Q asks for.  FLAGS: O_EXCL, for a region without a name, or 0.  The
// descriptor, or -errno with the reason noted.
// Whether granted bytes never need new blocks: also on btrfs, where each file is made so that it is not copied on
// write.
bool local_is_hard(const struct local *l);
int local_make_file(const struct local *l, const struct backing_request *q, int flags);
// The record of a new region of the caller's.  NAME may be "".  0 or -errno.
int local_new_record(const char *name, const struct backing_request *q, bool sparse, struct record *ret);
// Writes the record, and gives the file its name.  0; -EEXIST; -errno with the reason noted.
int local_name_file(const struct local *l, int fd, const struct record *record);
// Takes that name away again, and the gate.  0 or -errno.
int local_remove_name(const struct local *l, const struct record *record);
// The same, if the name still stands for the file INODE.
void local_remove_made(const struct local *l, const struct record *record, ino_t inode);

// clone.c
int local_clone(struct backend *backend, const struct clone_source *source, const struct region_name *name,
                const struct backing_request *q, struct backing **ret);

// events.c

// Of backend_ops.
int local_event_fd(struct backend *backend);
int local_next_event(struct backend *backend, struct diskalloc_event *ret);
// In place of an event of this kind about the same region, if one is there.  When the queue is full, the oldest event
// is dropped.
void local_add_event(struct local *l, const struct diskalloc_event *event);
// In a forked child, and when the client is closed.
void local_forget_events(struct local *l);

// directory.c

// 0: l->dir may be used.  It was opened again if the program had closed it.  -EBADF with the reason noted: that can't
// be done.
int local_hold_directory(struct local *l);
// Notes why no file could be made in the directory: R says, or the directory was removed.  Returns the errno for the
// caller.
int local_refused(const struct local *l, int r);

// named.c

// The uid that NAME is about: the caller's, or the one of its user.  0; -EOPNOTSUPP: there is no such user; -EIO: the
// user database did not answer; -ENOMEM, -EMFILE.
int local_find_owner(const struct region_name *name, uid_t *ret);
// Opens the file NAME if it is a region of OWNER, and reads its record.  RET_OWNER, which may be NULL, gets the
// file's owner.  The descriptor; -EACCES: it is another user's, or the mode forbids it; -EEXIST: it is no region;
// -errno.  The reason is noted.
int local_open_named(const struct local *l, const char *name, uid_t owner, bool read_only, struct record *ret,
                     uid_t *ret_owner);
int local_check_absent(const struct local *l, const char *name); // 0: there is no such file; -EEXIST, -errno
// All that may be named regions of the directory: local_open_named says whether one is.  *RET is to be closed by
// closedir.
int local_read_directory(struct local *l, DIR **ret);
bool local_may_be_region(const struct dirent *e);
// Whether E, with which local_open_named has failed, is a want of this process, and says nothing of the file.
bool local_is_shortage(int e);
// Finds a named region of this directory by its handle.  A descriptor, or -errno with the reason noted.
int local_find_by_handle(struct local *l, const struct handle *handle, bool read_only, struct record *ret);

// backing.c

// Makes a backing of FD, an open spill file, which belongs to the backing from here on, also on failure.  RECORD
// describes the file. 0; -ESTALE: the file was unlinked meanwhile; -errno.
int local_backing_new(struct local *l, int fd, const struct record *record, uint32_t flags, struct backing **ret);
// 0; -EDQUOT: BYTES more, which nobody needs yet, would leave too little of the disk that FD is on; -errno.
int local_check_early(int fd, uint64_t bytes);

// enlisted.c

// L is a region of this process from now on, until local_unlist.  Its bytes are counted apart.
void local_enlist(struct local_backing *l);
void local_unlist(struct local_backing *l);
void local_count_bytes(struct local_backing *l); // as many as it has now
void local_uncount_bytes(struct local_backing *l);
// A new descriptor of the file of a region that this process has (an inherited one counts), with an open file
// description of its own; -ENOENT: this process has none with this handle; -errno.
int local_reopen(const struct handle *handle, bool read_only);
// Opens the file of FD once more.  The descriptor, or -errno.
int local_open_again(int fd, bool read_only);
// How many regions this process has from any directory, and their bytes.
void local_count(uint64_t *ret_regions, uint64_t *ret_bytes);

// Calls VISIT with the descriptor of each region that this process has from L, inherited ones too.  VISIT takes no
// locks.  A region whose descriptor the program has closed is left out.
void local_visit(const struct local *l, void (*visit)(const struct local_backing *b, void *data), void *data);

// list.c
int local_list(struct backend *backend, const struct handle *after, struct region_page *ret);

// hold.c

// Takes the locks of a writer, or of the only one.  0; -EBUSY with the reason noted; -errno.
int local_lock_writer(struct local_backing *l);
// For backing_ops.hold.
int local_hold(struct backing *b);

// gate.c

// Whether a region with this record has users who may read and not write.
bool local_needs_gate(const struct record *record);
int local_make_gate(const struct local *l, const struct record *record); // 0 or -errno
void local_remove_gate(const struct local *l, const struct handle *handle);
// Locks the gate of B for this writer, until local_leave_gate.  1; 0: the region has none; -EBUSY with the reason
// noted; -errno.
int local_enter_gate(struct local_backing *b);
void local_leave_gate(struct local_backing *b);

// record.c.  The first two are called with the change lock held, or alone.  0 or -errno.
int local_store_used(struct backing *b, uint64_t used, uint32_t element_size);
// Notes that parts of the file are discarded: every process that opens it then looks for holes.
int local_note_holes(struct backing *b);
// The file_id of a record for the file of FD; 0: not known.
uint64_t local_file_id(int fd);
// Whether RECORD, which has holes, was written for another file than that of FD: then they are not to be relied on.
bool local_is_copy(int fd, const struct record *record);
// The file of B, a copy, has blocks for all of it by now: its record says so.  0 or -errno.
int local_forget_holes(struct backing *b);
void local_take_committed(struct backing *b, const struct record *record); // into B
// Bytes that are cut are no elements any more, nor when the region grows again.  *RET_BEFORE: the record's value.
int local_lower_used(struct backing *b, uint64_t size, uint64_t *ret_before);
void local_raise_used_again(struct backing *b, uint64_t used);
int local_sync(struct local_backing *l);
// The commit of USED did not reach the disk: the record is again what it was BEFORE, unless others have committed
// since.
void local_take_commit_back(struct backing *b, uint64_t used, const struct record *before);
