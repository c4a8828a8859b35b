// mmap and its relatives, for private anonymous memory that lies on disk.  Any thread.
//
// To the program such memory is what it asked for: private, zeros at first, and its own to unmap, move, protect and map
// something else over, page by page.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether a call of mmap is for memory that may lie on disk: private, anonymous, readable and writable, and without
// flags that say otherwise.
bool maps_suits(size_t length, int access, int flags);
// Maps LENGTH bytes of zeros, at AT if that is not NULL.  MAP_FAILED: refused, disk_why() says why, and nothing has
// changed.
void *maps_map(void *at, size_t length, int access);
// As the system calls, for any memory of the process.
void *maps_map_over(void *at, size_t length, int access, int flags, int fd, int64_t offset); // with MAP_FIXED
int maps_munmap(void *at, size_t length);
int maps_madvise(void *at, size_t length, int advice);
int maps_mprotect(void *at, size_t length, int access);
// The program's mremap.  FALL_BACK: memory that the disk refuses comes from the kernel.
void *maps_mremap(void *at, size_t old_length, size_t length, int flags, void *to, bool fall_back);

// With the lock of the blocks.  What lies between the two addresses, which are the caller's to map at, goes back to the
// disk.
void maps_forget(uintptr_t at, uintptr_t end);
