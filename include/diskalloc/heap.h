/* A heap on disk: many small blocks inside one region, for programs that have more of them than memory.
 *
 *     struct diskalloc_heap *h;
 *
 *     diskalloc_heap_new(da, &h);
 *     p = diskalloc_heap_malloc(h, 40);
 *     diskalloc_heap_free(h, p);
 *     diskalloc_heap_close(h);
 *
 * A heap takes its memory from one region, which grows in place, so a block never moves by itself.  Blocks of up to
 * 32 KiB share pages with others of their size; larger ones have whole units of 16 KiB.  What programs free is used
 * again; when much is free (16 MiB and a quarter of what is used), whole free parts go back to the disk and the quota,
 * and are asked for again when they are needed.  A block of its own for each few large arrays is diskalloc_malloc
 * (<diskalloc/client.h>); an array that grows is <diskalloc/vec.h>.
 *
 * Threads: any thread may use any heap, and free what another one allocated.  Each thread keeps some free blocks for
 * itself, half a MiB at most for each heap that it uses, until it ends.  Opening and closing are the exception: nobody
 * else may be using a heap that is closed.
 *
 * Heaps that persist.  A heap in a named region (or in a file of the caller's) is there when the region is opened
 * again: the blocks, and one pointer to begin with, the root.  The region lies at the same address then, its home
 * (diskalloc_heap_home), if nothing else lies there in this process; otherwise it lies elsewhere.  So blocks refer to
 * each other by offsets, (char *)p - (char *)diskalloc_heap_base(h), which are good wherever it lies;
 * DISKALLOC_HEAP_OFFSET and DISKALLOC_HEAP_POINTER convert.  A program that stores pointers instead compares base and
 * home when it has opened the heap: if they differ, it may go on only after it has changed each pointer p to
 * (char *)p - (char *)home + (char *)base, and back before it closes the heap.  The home is seldom taken: it is chosen
 * by the region's name (or, of a caller's file, by its inode), from addresses that the kernel uses for nothing else.
 *   One process at a time may have such a heap open, once: a second diskalloc_heap_open is -EBUSY, in this process too.
 *   (The heap holds a lock on the region's file for that, and so a descriptor.  A lock of a program that may only
 *   read the file keeps nobody out; then the processes are told apart by their numbers, and -EBUSY is also for a heap
 *   whose last process was killed in another pid namespace.  It is no fence: who must keep others from writing to the
 *   region at all opens it with DISKALLOC_REGION_SOLE_WRITER.)  With a region that is attached
 *   READ_ONLY, any process can open the heap at any time: the root, the base and the bytes can be read, all else is
 *   -EROFS or does nothing; the program that writes has to keep what others read in order.
 *   A program may be killed at any moment, also within these functions: the heap can be opened again, each block is
 *   either allocated or free, and blocks that were allocated have what was stored in them.  Lost are the free blocks
 *   that threads kept for themselves (above), and blocks that the program had not linked to the root yet.  After a
 *   power failure the disk has what was synchronised (diskalloc_region_sync) and perhaps some of the rest.
 *   What a heap says of itself is checked when it is opened: a heap that was changed by something else is refused
 *   (-EINVAL), or opened; in neither case is anything outside the region read or written.  What is in the blocks, and
 *   which blocks of a page are free, can't be checked: a program that does not trust those who may write to the region
 *   checks the offsets that it finds there.
 *
 * fork: a child may read and write the blocks that it inherited, which it shares with its parent.  It can't allocate
 * (-EBUSY), and what it frees stays allocated; closing the heap only unmaps it there.  The child makes a heap of its
 * own.  While a child lives, the parent's heap grows and gives nothing back.
 *
 * malloc: on the way of a malloc or free the library allocates nothing while it holds a lock of a heap.  Where the
 * region must change its size, the client library does allocate; if malloc itself is put upon a heap, those
 * allocations get what that heap has free (128 KiB are kept for them), or ENOMEM, and never wait.
 *
 * Functions that return a pointer say why by errno, and diskalloc_last_error() has the sentence: EDQUOT or ENOSPC (the
 * heap had to grow, or to get a part again that it had given back, and that was refused), ENOMEM, EBUSY (the heap was
 * inherited through fork), EROFS, EINVAL, ECONNRESET and others of diskalloc_region_resize.  The heap is as before.
 * An allocation or a free that succeeds leaves the last error as it is. */
#ifndef DISKALLOC_HEAP_H
#define DISKALLOC_HEAP_H

#include <diskalloc/client.h>
#include <stddef.h>
#include <stdint.h>

#define DISKALLOC_HAVE_HEAP 1
#define DISKALLOC_HAVE_HEAP_HOME 1

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

struct diskalloc_heap;

/* Makes a heap in an anonymous region of its own, of 2 MiB to begin with.
 * *RET is closed by diskalloc_heap_close.
 * Any thread.
 * 0; -EINVAL; -ENOMEM; else as diskalloc_region_create and diskalloc_region_resize. */
int diskalloc_heap_new(struct diskalloc *da, struct diskalloc_heap **ret);

/* Opens the heap in a region; in an empty region (of size 0) makes one.
 * On success the heap owns R, and closes it; until then R may be used for what does not change the region's size:
 * diskalloc_region_sync, for example.  On failure the caller keeps R.
 * Any thread.
 * 0; -EINVAL: the region is neither empty nor a heap, or the heap is damaged, or of another version of the library;
 * -EPROTOTYPE: the region is a vector; -EBUSY: the heap is open, here or in another process, or R was inherited through
 * fork; -ENOMEM; -EROFS: empty, and attached for reading only; else as diskalloc_region_resize. */
int diskalloc_heap_open(struct diskalloc_region *r, struct diskalloc_heap **ret);

/* Closes a heap and its region.  All blocks of an anonymous region are gone; a region that others can find keeps them,
 * and gives back what is free, for which it asks the daemon.
 * H may be NULL.
 * No other thread may be using H.
 * Leaves the last error alone. */
void diskalloc_heap_close(struct diskalloc_heap *h);

/* Allocates a block.
 * SIZE in bytes; 0 gives a block too.  Aligned to 16; the content is unspecified.
 * Any thread.
 * The block, or NULL and errno. */
void *diskalloc_heap_malloc(struct diskalloc_heap *h, size_t size);

/* Allocates N times SIZE zero bytes.  The same.  Memory that was never used is not touched for that. */
void *diskalloc_heap_calloc(struct diskalloc_heap *h, size_t n, size_t size);

/* Allocates a block whose address is a multiple of ALIGNMENT, a power of 2.  Above 2 MiB, the address has that only as
 * long as the region lies where it does now.
 * The same; EINVAL: no power of 2. */
void *diskalloc_heap_memalign(struct diskalloc_heap *h, size_t alignment, size_t size);

/* Changes a block's size.  Blocks above 32 KiB stay where they are when they shrink, and when they grow into free space
 * or at the heap's end.
 * BLOCK may be NULL: as diskalloc_heap_malloc.  SIZE 0 frees it and returns NULL.  Shrinking never fails.
 * Any thread; one at a time for one block.
 * The block, perhaps elsewhere; or NULL and errno, and BLOCK is as before. */
void *diskalloc_heap_realloc(struct diskalloc_heap *h, void *block, size_t size);

/* Frees a block.
 * BLOCK may be NULL.  A pointer that is no block of H, or was freed before, ends the program with a message, as far as
 * that is noticed (at once, or when the thread gives its free blocks to others).
 * Any thread.
 * Leaves errno and the last error alone. */
void diskalloc_heap_free(struct diskalloc_heap *h, void *block);

/* How many bytes of BLOCK may be used.
 * BLOCK may be NULL.
 * Any thread.
 * Bytes; 0: not a block, or the region is attached for reading only. */
size_t diskalloc_heap_usable_size(const struct diskalloc_heap *h, const void *block);

/* Notes the block that diskalloc_heap_root finds, also after the heap was opened again.
 * BLOCK is a block of H; NULL: none.  It is the program's: whoever frees it sets another root first.
 * Any thread.
 * 0; -EINVAL: no block of H; -EROFS; -EBUSY: inherited through fork. */
int diskalloc_heap_set_root(struct diskalloc_heap *h, const void *block);

/* The root.
 * Any thread.
 * The block, at its present address; NULL: none was set. */
void *diskalloc_heap_root(const struct diskalloc_heap *h);

/* Where the heap's region lies: blocks have offsets from here that stay the same.
 * Any thread.
 * Never NULL; never changes. */
void *diskalloc_heap_base(const struct diskalloc_heap *h);

/* Where the heap's region lay when the heap was made, and lies again whenever that can be had: pointers that were
 * stored in blocks then are good where this is diskalloc_heap_base.  It never changes.
 * Any thread.
 * NULL: the heap has no home.  Its region had no name, or lay where another process could hardly have it (a program
 * under ThreadSanitizer or `ulimit -v`). */
void *diskalloc_heap_home(const struct diskalloc_heap *h);

/* A block's offset from the heap's base, which can be stored, and the block again; 0 stands for NULL. */
#define DISKALLOC_HEAP_OFFSET(h, block) \
    ((block) ? (uint64_t)((const char *)(block) - (const char *)diskalloc_heap_base(h)) : (uint64_t)0)
#define DISKALLOC_HEAP_POINTER(h, offset) ((offset) ? (void *)((char *)diskalloc_heap_base(h) + (offset)) : (void *)0)

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
