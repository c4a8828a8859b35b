// How much memory a sort may use, and how many threads.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Bytes that pages of files and buffers of this process can take before others of its pages, or other processes, have
// to make way.  UINT64_MAX: nobody knows.  ROOT: as of pressure_init.
uint64_t order_memory(const char *root);
// Processors that this thread may run on, at most MOST.
size_t order_processors(size_t most);
