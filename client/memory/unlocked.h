// Mappings that mlockall(2) does not lock.  See unlocked.c.
#pragma once
#include <stdint.h>

// As mmap(2), but the kernel may always evict the pages, whatever the program has locked.  MAP_FAILED and errno.
void *map_unlocked(void *at, uint64_t length, int access, int flags, int fd, uint64_t offset);
// The same in place of what is mapped at AT, in one step to other threads, and without reading pages that nobody
// touches.
void *map_unlocked_over(void *at, uint64_t length, int access, int flags, int fd, uint64_t offset);
