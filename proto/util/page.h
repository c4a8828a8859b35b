// The size of the kernel's pages: 4 KiB on most machines, 16 or 64 KiB on others.
#pragma once
#include <stdint.h>

// Bytes: of pages of this size the kernel makes huge ones of 2 MiB, and of larger ones larger ones.
enum { PAGE_WITH_HUGE_OF_2_MIB = 4096 };

// In bytes, a power of two.
uint64_t page_size(void);
// For tests, before anything is mapped: pages count as SIZE bytes.  SIZE is a multiple of the true size; 0: the true
// size again.
void page_size_pretend(uint64_t size);
