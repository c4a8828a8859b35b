// A region: address space over a file that a backing provides.  This header is the folder's, for the code above; each
// comment names the file of its functions.
#pragma once
#include <diskalloc/client.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "client/backend.h"
#include "client/memory/adapt.h"
#include "client/memory/announce.h"
#include "client/memory/filling.h"
#include "client/memory/guard.h"
#include "client/memory/mapping.h"
#include "client/memory/prefetch.h"
#include "client/memory/writeback.h"
#include "client/util/children.h"
#include "client/util/fork.h"

// Sizes are bytes.  A thread that resizes the region holds the lock, also while it waits for the daemon's answer; a
// thread that waits for space (resize.c) does not.
struct diskalloc_region {
    struct fork_hook fork;
    struct diskalloc *da;       // a reference; NULL: the region of a caller's file
    pthread_mutex_t lock;       // of all below, unless something else is said
    struct backing *backing;    // owned; NULL only while the region is being opened
    struct mapping mapping;     // base never changes, and is read without the lock
    struct prefetch prefetch;   // has a lock of its own
    struct filling filling;     // has a lock of its own
    struct announce announced;  // has a lock of its own
    struct writeback writeback; // its fields are atomic
    struct adapt adapt;         // see adapt.h
    _Atomic uint64_t size;      // the accessible bytes; written under the lock, read without
    _Atomic uint64_t used;      // the bytes that were committed; written under the lock, read without
    _Atomic uint64_t kept;      // a vector must not shrink the region below this size: others grew it
    int sync_error;             // the first I/O error of a sync, 0 before: it stays, as the kernel reports it only once
    uint64_t began_with;        // the first size of a region that a vector made for itself; 0: of any other region
    struct background_task early_task;
    uint64_t early_size;         // early_task grows the region to this size,
    uint64_t early_from;         // if it still has this one
    uint64_t agreed_from;        // the size before the region agreed to a cut (backing.agreed_to)
    uint64_t early_refused;      // the size of the region when an early grow was refused; 0: none was
    _Atomic bool searches_fast;  // the last search (client/order/search.c) was in memory
    int advice;                  // DISKALLOC_ADVICE_... about the order of accesses, given last for the whole region
    unsigned generation;         // fork_generation() when the region was made
    struct shared_region shared; // with children that this process forks
    struct guard guard;          // see guard.h
    bool has_heap;               // a heap is open on this region, and closes it; has the lock
    // Of the vector on this region (client/vec.c), if there is one that adopted it.  The thread that uses the vector
    // writes both; so does a resize that cuts its elements.
    uint32_t element_size; // bytes; 0: none
    uint64_t agreed;       // the bytes of elements that the vector found, took over or committed last
    uint32_t kind;         // recorded by commits in place of element_size, if not 0: see client/strvec/strvec.h
    // Of a vector that is consumed from its front (client/drain.c); the thread that uses the vector writes both.
    bool drained;         // parts before or behind the vector's end may have no blocks
    uint64_t drain_asked; // the bytes that the last call found consumed
    uint64_t drained_at;  // when the last call gave some back, a time of proto/util/clock.h; 0: never
    // Of a vector's region that began without a file: see small.c.
    struct {
        _Atomic bool fileless; // there is no file yet, and backing is `none`
        uint64_t head;         // the first bytes, of whole pages, are memory that children share, and not the file's
        struct backing none;   // what is known of a region without a file
        LIST_ENTRY(diskalloc_region) entry; // of all that have no file
    } small;
    char handle[HANDLE_TEXT_LENGTH + 1];
};

// The size of elements in the record of a region that has a heap (client/heap): no vector takes it for its own.
#define REGION_OF_A_HEAP ((uint32_t)0x70616548)

// region.c: life and rules.

void region_close(struct diskalloc_region *r);

bool region_is_inherited(const struct diskalloc_region *r); // through fork: not this process's to change

// open.c
int region_create(struct diskalloc *da, const struct diskalloc_region_options *o, bool exact_reserve,
                  struct diskalloc_region **ret);
// Makes a region as region_create does with a size and no other options, before anybody needs it.  0; or -errno: also
// where little would be left for others, or there is no connection.  The region has no memory before
// region_finish_early, which any thread may call; if that fails, the region is to be closed.
int region_begin_early(struct diskalloc *da, uint64_t size, struct diskalloc_region **ret);
int region_finish_early(struct diskalloc_region *r);
// As the public functions of these names, without their error_begin and error_end.
int region_open(struct diskalloc *da, const char *name, const struct diskalloc_region_options *o,
                struct diskalloc_region **ret);
int region_unlink(struct diskalloc *da, const char *name);

// small.c (the second function: region.c): a region that has no file before it needs one.
#define REGION_SMALL ((uint64_t)16 << 10) // bytes that it has at most
// Makes one of REGION_SMALL bytes.  0; or as region_create: -ENOMEM, -EINVAL.
int region_create_small(struct diskalloc *da, struct diskalloc_region **ret);
bool region_is_small(const struct diskalloc_region *r); // it has no file yet.  Any thread, without the lock
// With the lock held: the region has a file from here on, and its bytes are in it.  0; -EBUSY: a child shares them;
// another -errno as region_create, and nothing has changed.
int region_need_file(struct diskalloc_region *r);

// spare.c: a region that was made before there is need.  None of these fails.
// A region of SIZE bytes that region_make_spare has made; NULL: there is none.
struct diskalloc_region *region_take_spare(struct diskalloc *da, uint64_t size);
// A vector has begun with SIZE bytes, the size that the client's last vectors reached: makes the region of the next one
// if the client makes many in a row.
void region_make_spare(struct diskalloc *da, uint64_t size);

// early.c: growing before there is need.
// Begins to grow the region to SIZE, without waiting and without a word if that can't be done.  Without the lock.
void region_grow_early(struct diskalloc_region *r, uint64_t size);
// With the lock held.  Takes the answer to an early grow over, if one was sent and its answer is there; WAIT: waits
// for the answer. At least 0; -EAGAIN: there is no answer yet; -EDQUOT: the grow was refused; another -errno: nobody
// knows.
int region_settle_early(struct diskalloc_region *r, bool wait);

// refresh.c.  As diskalloc_region_refresh, without its error_begin and error_end, and with the lock held.  -ESTALE:
// the backing has less than LEAST bytes, and the region is as before.
int region_refresh_locked(struct diskalloc_region *r, uint64_t least);

// agree.c, with the lock held.
// Before a refresh that the program has asked for: if another process asks whether the region may be cut, and LEAST
// bytes would be left, takes the access to the rest away and agrees.  True: the region has become smaller.
bool region_agree_locked(struct diskalloc_region *r, uint64_t least);
// Takes back what the region has agreed to: it is as large as the backing again.  0 or -errno.
int region_disagree_locked(struct diskalloc_region *r);

// advise.c.  As diskalloc_region_advise for all bytes; what is about the order of accesses holds for bytes that
// are granted later, too.
int region_advise_whole(struct diskalloc_region *r, int advice);
// As diskalloc_region_prefetch, for places of LENGTH bytes that begin at the bytes at[i] * UNIT.
int region_announce(struct diskalloc_region *r, const uint64_t *at, size_t n, uint64_t unit, uint64_t length);
// Until region_advise_again: a miss before TO reads one large page, and nothing adapts.
void region_read_alone(struct diskalloc_region *r, uint64_t to);
// The advice about the whole region counts again.
void region_advise_again(struct diskalloc_region *r);

// resize.c.  With the lock held: gives blocks to the holes of a caller's file, before somebody relies on them.  0 or
// -errno.
int region_reserve(struct diskalloc_region *r);
// As the public functions of these names, without their error_begin and error_end.
int region_resize(struct diskalloc_region *r, uint64_t size);
// As region_resize, but a shrink asks others who have the region attached for their agreement, and waits a second.
int region_resize_agreed(struct diskalloc_region *r, uint64_t size);
// The same, and the program may fill what the region was grown by: see client/memory/filling.c.
int region_resize_to_fill(struct diskalloc_region *r, uint64_t size);
int region_resize_wait(struct diskalloc_region *r, uint64_t size, int timeout_ms);
// discard.c: likewise.
int region_discard(struct diskalloc_region *r, uint64_t offset, uint64_t length);
// The same for a part that a vector has left behind: pages go on being made ahead of it.
int region_discard_behind(struct diskalloc_region *r, uint64_t offset, uint64_t length);
int region_restore(struct diskalloc_region *r, uint64_t offset, uint64_t length);

// commit.c: likewise; the last one with the lock held.
int region_sync(struct diskalloc_region *r);
int region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags);
int region_commit_locked(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags);

// file.c.  With the lock held: the backing's descriptor, which stays open until the region is closed; or -errno.
int region_keep_file(struct diskalloc_region *r);

// zero.c: makes the accessible bytes from FROM to TO zero, without touching those that are known to be zero.  The
// region had SIZE_BEFORE bytes before it was grown.  Without the lock.
void region_zero(struct diskalloc_region *r, uint64_t from, uint64_t to, uint64_t size_before);
