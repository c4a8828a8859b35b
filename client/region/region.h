// A region: address space with a backing.
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

struct diskalloc_region {
    struct fork_hook fork;
    struct diskalloc *da; // a reference; NULL: of a caller's file
    pthread_mutex_t lock; // of all below
    struct backing *backing;
    struct mapping mapping;
    struct prefetch prefetch;   // has a lock of its own
    struct writeback writeback; // needs none
    _Atomic uint64_t size;      // accessible bytes; written under the lock, read without
    _Atomic uint64_t used;      // likewise
    _Atomic uint64_t kept;      // the size that others or the program itself gave it: not a vector's to take back
    int sync_error;             // an I/O error stays
    uint64_t began_with;        // of a vector's own region: its first size
    struct background_task early_task;
    uint64_t early_size;    // its, to grow to
    uint64_t early_refused; // the size that growing early was refused for; 0: it was not
    unsigned generation;    // fork_generation() when it was made
    char handle[HANDLE_TEXT_LENGTH + 1];
};

// The public calls without their error_begin and error_end.
int region_create(struct diskalloc *da, const struct diskalloc_region_options *o, bool exact_reserve,
                  struct diskalloc_region **ret);
void region_close(struct diskalloc_region *r);
int region_resize(struct diskalloc_region *r, uint64_t size);
int region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms);
int region_sync(struct diskalloc_region *r);
int region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags);

// Whether it was inherited through fork, and so is not this process's to change.
bool region_is_inherited(const struct diskalloc_region *r);
// Called with the lock held.  0, -EBUSY (inherited) or, where WRITING, -EROFS.
int region_check(const struct diskalloc_region *r, bool writing);
// A page of memory that the region keeps accessible equals its backing's size.  Called with the lock held.
int region_follow_backing(struct diskalloc_region *r);
// A resize that region_check has allowed, and whether it can't be done whatever the backing says.  Called with the lock held.
int region_resize_locked(struct diskalloc_region *r, uint64_t size);
int region_check_size(const struct diskalloc_region *r, uint64_t size);
// Before anything is concluded from the size or the discarded parts: what the backend has, after an answer was lost.  Called with
// the lock held.  0 or a negative errno.
int region_reconcile(struct diskalloc_region *r);
// Whether what was refused with E may be had now: something closed before has come back since SINCE, a region_mark.
uint64_t region_mark(struct diskalloc_region *r);
bool region_may_try_again(struct diskalloc_region *r, int e, uint64_t since);
// A descriptor of its file, which the region then keeps.  Called with the lock held.  At least 0, or -errno.
int region_open_file_locked(struct diskalloc_region *r);
// Growing before there is need: see region_early.c.  The first two without the lock, the others with it.
void region_early_init(struct diskalloc_region *r);
void region_early_deinit(struct diskalloc_region *r); // before the region is closed
void region_grow_early(struct diskalloc_region *r, uint64_t size);
// What was asked for is taken over, as far as the answer is known, or WAITing for it.  At least 0; -EAGAIN: not yet; -EDQUOT: it was
// refused.
int region_settle_early(struct diskalloc_region *r, bool wait);
// OFFSET and LENGTH in whole blocks, as the backing's ops want it.  Called with the lock held.
int region_discard_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length);
int region_restore_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length);
// In a forked child.
void region_watch_forks(struct diskalloc_region *r);
