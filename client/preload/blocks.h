// Large blocks: of malloc, and of mmap.  Any thread; one lock for all of them.
//
// A block of malloc lies where the region has its bytes.  When it grows and the bytes behind it are taken, more bytes
// are taken elsewhere, and the whole is mapped once more, in a row, at other addresses: nothing is copied.  Memory of
// mmap is always mapped once more, since a program may unmap parts of it and map something else there.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/preload/pieces.h"

// The region of a piece that is no region: memory of the process.
#define PIECE_MEMORY UINT32_MAX

// All with the lock.
struct blocks {
    struct pieces pieces;
    unsigned n_blocks, most_blocks;
};

extern struct blocks blocks;

void blocks_lock(void);
bool blocks_try_lock(void);
void blocks_unlock(void);
// The calling process was forked, and has one thread.
void blocks_forked(void);
// Whether there is any memory here; without the lock.
bool blocks_are_there(void);

// As malloc, aligned to ALIGNMENT (a power of two); ZERO: as calloc.  NULL: refused, disk_why() says why.
void *blocks_malloc(size_t size, size_t alignment, bool zero);
// BLOCK is from blocks_malloc or blocks_realloc, or the process ends: it is no block.
void blocks_free(void *block);
// The block has SIZE bytes from now on, at the address that is returned.  NULL: refused, nothing has changed.
void *blocks_realloc(void *block, size_t size);
size_t blocks_usable_size(const void *block);

// With the lock: the client is open.  0 or -errno.
int blocks_open(void);
// Whether P lies at the addresses at which its region has its bytes.
bool blocks_is_at_home(const struct piece *p);
// With the lock.  Maps LENGTH bytes of a region at AT, which is the caller's to map at; what was there is gone.  0 or
// -errno.
int blocks_map(uintptr_t at, uint64_t length, int access, unsigned region, uint64_t offset);
