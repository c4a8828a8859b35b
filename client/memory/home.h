// Where a region lies that will be found again: at the same address in each process, if that can be had.  Pure.
// Addresses and sizes are bytes.
//
// A heap in a named region may have pointers in it.  They are good as long as the region lies where it lay when the
// heap was made, its *home*.  The kernel gives each process other addresses, and puts them next to the libraries and
// stacks of that process, so an address of one process is likely to be taken in another.  Therefore a region with a
// name is put elsewhere from the beginning: into a window of 48 TiB that neither the kernel nor malloc nor the loader
// fills by itself.  Its place there follows from its name, so that regions of different names seldom meet.  A heap
// writes its address down (struct home_header), and whoever opens the region moves it there before anybody knows its
// address.
//
// The words are read from memory that others may have written to.  An address outside the window is never used: a
// region next to a stack, or below the program's own data, would be in their way when they grow.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOME_MAGIC "DISKHEAP"

enum { HOME_TRIES = 3 };

// How a region begins that has a home.  It is a part of the heap's format (client/heap/format.h).
struct home_header {
    char magic[8]; // written last, when the rest is there
    uint32_t version;
    uint32_t unit;  // bytes
    uint64_t home;  // the address of the region when it was made; 0: it has no home
    uint64_t check; // home_check
};

// Mixes bits, so that each bit of X changes about half of those of the result.
uint64_t home_mix(uint64_t x);
uint64_t home_check(const struct home_header *header);
// Whether a region with RESERVE bytes of address space may have its home at ADDRESS.
bool home_is_possible(uint64_t address, uint64_t reserve);
// The address that the header tells.  0: none, or the header is not whole.
uint64_t home_of(const struct home_header *header, uint64_t reserve);
// A number of the N bytes of a name, for home_place.
uint64_t home_seed(const void *bytes, size_t n);
// The place for a region of RESERVE bytes, at the first try (0) or a later one.  0: there is none.
uint64_t home_place(uint64_t seed, unsigned try, uint64_t reserve);
