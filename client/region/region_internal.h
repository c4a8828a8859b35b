// Functions of regions that only the files of this folder share.  Each comment names the file of its functions.
#pragma once
#include "client/region/region.h"

// region.c

// A region without backing and mapping, to be completed by open.c.  DA may be NULL.  NULL: no memory.
struct diskalloc_region *region_new(struct diskalloc *da);
// As region_close, for a region that open.c could not complete: everything is given back before this returns, also the
// name of a region that was made on the way.
void region_abandon(struct diskalloc_region *r);

// The regions of this process that have no file, inherited ones too; guarded by fork_lock.
LIST_HEAD(small_regions, diskalloc_region);
extern struct small_regions region_all_small;
void region_forget_small(struct diskalloc_region *r); // R is closed, or has a file from now on.  Idempotent

// place.c

// Takes address space for a region whose size is not known yet.  EXACT: the caller's wish is not replaced by a smaller
// reservation.  SEED: of what the region is found by (home_seed); 0: nobody finds it.  0; -ENOMEM, -EINVAL,
// -EOVERFLOW.
int region_reserve_addresses(struct mapping *m, const struct diskalloc_region_options *o, bool exact, uint64_t seed);
// Maps the backing's file, which O was made with, and gives access to its size.  The address may change, for the last
// time.  0 or -errno.
int region_place(struct diskalloc_region *r, const struct diskalloc_region_options *o);

// The next six with the lock held.
// 0; -EBUSY: the region was inherited; -EROFS: it is read-only and WRITING is asked for.
int region_check(const struct diskalloc_region *r, bool writing);
// Before bytes are taken away: 0; -EBUSY: a forked child of this process may still map them.
int region_check_alone(const struct diskalloc_region *r);
// Before the backing is asked to do anything: its descriptor is the file's, also if the program has closed the first
// one.  0; -EBADF: the file can't be opened again; -ESTALE, -ENOMEM, -errno.
int region_hold_file(struct diskalloc_region *r);
// 0; -EOVERFLOW, -ENOMEM: the region can't have SIZE bytes, whatever the backing says.
int region_check_size(const struct diskalloc_region *r, uint64_t size);
// 0; -EINVAL: some of the bytes lie beyond the size.
int region_check_range(const struct diskalloc_region *r, uint64_t offset, uint64_t length);
// Makes the accessible part equal to the backing's size, as far as the reservation and the agreement to a cut go.  0 or
// -ENOMEM.
int region_follow_backing(struct diskalloc_region *r);

// The bytes that region_discard_locked and region_restore_locked give back and grant again as a whole: a page can't be
// partly accessible.
uint64_t region_unit(void);
// Regions that were closed give their space and their file back a moment later, on the client's thread.  A request that
// was refused with E may succeed now if that has happened since region_mark returned SINCE; region_may_try_again waits
// for it.
uint64_t region_mark(struct diskalloc_region *r);
bool region_may_try_again(struct diskalloc_region *r, int e, uint64_t since);

// refresh.c: holds the file (region_hold_file), and takes over what is known of the backing only after an early grow,
// or after an answer was lost.  Every change of the region begins with this call, with the lock held.  0 or -errno.
int region_reconcile(struct diskalloc_region *r);

// agree.c: what the region has agreed to counts no more, and the backing's size was asked for since.
void region_end_agreement(struct diskalloc_region *r);

// name.c.  TEXT is NAME or USER/NAME.  0; -EINVAL, -ENAMETOOLONG; -ECONNREFUSED: DA has fallen back to a directory.
int region_parse_name(const struct diskalloc *da, const char *text, struct region_name *ret);

// open.c

// A region whose backing is a copy of SOURCE.  NAME: NULL: it has none.  O was checked, and its size is the
// source's.
int region_get_clone(struct diskalloc *da, const struct clone_source *source, const struct region_name *name,
                     const struct diskalloc_region_options *o, struct diskalloc_region **ret);
// With the lock held: gives a file of SIZE bytes to a region that has none; small.c calls it.  STAY: as
// small_give_file.  AT_ONCE: waits for no connection.  0; or -errno, and nothing has changed.
int region_make_file(struct diskalloc_region *r, uint64_t size, bool stay, bool at_once);

// small.c

// With the lock held, of a region without a file: as region_resize.
int region_resize_small(struct diskalloc_region *r, uint64_t size);

// advise.c.  With the lock held: the memory was mapped anew, and has no advice any more.
void region_advise_anew(struct diskalloc_region *r);

// discard.c

// OFFSET and LENGTH are whole blocks, within the size.  With the lock held, after region_reconcile.
int region_discard_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length);
int region_restore_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length);

// file.c.  With the lock held.  A descriptor with an offset of its own, for the caller to close.  Not where the
// backing keeps its descriptor (keeps_fd).
int region_open_file(struct diskalloc_region *r);
// With the lock held, after a grow or a commit that the backing has carried out: opens the file if adapting needs that.
void region_lend_file(struct diskalloc_region *r);
