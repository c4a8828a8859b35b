// The size of the kernel's pages: 4 KiB on most machines, 16 or 64 KiB on others.
#pragma once
#include <stdint.h>

// In bytes, a power of two.
uint64_t page_size(void);
// For tests, before anything is mapped: pages count as SIZE bytes.  SIZE is a multiple of the true size; 0: the true
// size again.
void page_size_pretend(uint64_t size);
