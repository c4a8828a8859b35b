// A region: address space over a file that a backing provides.  This header is the folder's: each comment names the file of
// its functions.
#pragma once
#include <diskalloc/client.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client/backend.h"
#include "client/memory/mapping.h"
#include "client/memory/prefetch.h"
#include "client/memory/writeback.h"
#include "client/util/fork.h"

// Sizes are bytes.  A thread that resizes the region holds the lock, also while it waits for the daemon's answer; a thread that
// waits for space (resize.c) does not.
struct diskalloc_region {
    struct fork_hook fork;
    struct diskalloc *da;       // a reference; NULL: the region of a caller's file
    pthread_mutex_t lock;       // of all below, unless something else is said
    struct backing *backing;    // owned; NULL only while the region is being opened
    struct mapping mapping;     // base never changes, and is read without the lock
    struct prefetch prefetch;   // has a lock of its own
    struct writeback writeback; // its fields are atomic
    _Atomic uint64_t size;      // the accessible bytes; written under the lock, read without
    _Atomic uint64_t used;      // the bytes that were committed; written under the lock, read without
    _Atomic uint64_t kept; // a vector must not shrink the region below this size: other users of the region grew it
    int sync_error;        // the first I/O error of a sync, 0 before: it stays, as the kernel reports it only once
    uint64_t began_with;   // the first size of a region that a vector made for itself; 0: of any other region
    struct background_task early_task;
    uint64_t early_size;    // early_task grows the region to this size
    uint64_t early_refused; // the size of the region when an early grow was refused; 0: none was
    unsigned generation;    // fork_generation() when the region was made
    char handle[HANDLE_TEXT_LENGTH + 1];
};

// region.c: life and rules.

// A region without backing and mapping, to be completed by open.c.  DA may be NULL.  NULL: no memory.
struct diskalloc_region *region_new(struct diskalloc *da);
void region_close(struct diskalloc_region *r);
// As region_close, for a region that open.c could not complete: everything is given back before this returns.
void region_abandon(struct diskalloc_region *r);

// True if the region was inherited through fork, and so is not this process's to change.
bool region_is_inherited(const struct diskalloc_region *r);
// The next four with the lock held.
// 0; -EBUSY: the region was inherited; -EROFS: it is read-only and WRITING is asked for.
int region_check(const struct diskalloc_region *r, bool writing);
// Before the backing is asked to do anything: its descriptor is the file's, also if the program has closed the first one.  0; -EBADF:
// the file can't be opened again; -ESTALE, -ENOMEM, -errno.
int region_hold_file(struct diskalloc_region *r);
// 0; -EOVERFLOW, -ENOMEM: the region can't have SIZE bytes, whatever the backing says.
int region_check_size(const struct diskalloc_region *r, uint64_t size);
// Makes the accessible part equal to the backing's size, as far as the reservation goes.  0 or -ENOMEM.
int region_follow_backing(struct diskalloc_region *r);

// Regions that were closed give their space back a moment later, on the client's thread.  A request that was refused with E
// may succeed now if that has happened since region_mark returned SINCE; region_may_try_again waits for it.
uint64_t region_mark(struct diskalloc_region *r);
bool region_may_try_again(struct diskalloc_region *r, int e, uint64_t since);

// open.c
int region_create(struct diskalloc *da, const struct diskalloc_region_options *o, bool exact_reserve,
                  struct diskalloc_region **ret);

// early.c: growing before there is need.
// Begins to grow the region to SIZE, without waiting and without a word if that can't be done.  Without the lock.
void region_grow_early(struct diskalloc_region *r, uint64_t size);
// With the lock held.  Takes the answer to an early grow over, if one was sent and its answer is there; WAIT: waits for the answer.
// At least 0; -EAGAIN: there is no answer yet; -EDQUOT: the grow was refused; another -errno: nobody knows.
int region_settle_early(struct diskalloc_region *r, bool wait);

// refresh.c: holds the file (region_hold_file), and takes over what is known of the backing only after an early grow, or after an
// answer was lost.  Every change of the region begins with this call, with the lock held.  0 or -errno.
int region_reconcile(struct diskalloc_region *r);

// discard.c.  OFFSET and LENGTH are whole blocks, within the size.  With the lock held, after region_reconcile.
int region_discard_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length);
int region_restore_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length);

// resize.c.  With the lock held: gives blocks to the holes of a caller's file, before somebody stores there who relies on that.  Other
// regions have none.  0 or -errno.
int region_reserve(struct diskalloc_region *r);
// As the public functions of these names, without their error_begin and error_end.
int region_resize(struct diskalloc_region *r, uint64_t size);
int region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms);

// commit.c: likewise.
int region_sync(struct diskalloc_region *r);
int region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags);

// file.c: descriptors of the region's file.  Both with the lock held; at least 0 or -errno.
// The backing's descriptor, which stays open until the region is closed.
int region_keep_file(struct diskalloc_region *r);
// A descriptor with an offset of its own, for the caller to close.  Not where the backing keeps its descriptor (keeps_fd).
int region_open_file(struct diskalloc_region *r);

// zero.c: makes the accessible bytes from FROM to TO zero, without touching those that are known to be zero.  The region had
// SIZE_BEFORE bytes before it was grown.  Without the lock.
void region_zero(struct diskalloc_region *r, uint64_t from, uint64_t to, uint64_t size_before);
