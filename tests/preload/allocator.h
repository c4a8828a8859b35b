// Scenes that the program preload-allocator plays: it uses malloc and mmap, and checks what comes back.  A failure is
// one line on standard error and exit status 1.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)
#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition); \
            _Exit(1);                                                           \
        }                                                                       \
    } while (0)

// Every word of the block gets a value that depends on its place and on SEED.
void fill(void *block, size_t size, unsigned seed);
bool is_filled(const void *block, size_t size, unsigned seed);
bool is_zero(const void *block, size_t size);
// Whether the memory at P is of a file; without that, it is of the process alone.
bool is_on_disk(const void *p);

// allocator_fork.c
void play_fork(void);         // neither process sees what the other one writes
void play_fork_freed(void);   // a child has what its parent freed
void play_fork_threads(void); // while other threads allocate
void play_fork_again(void);   // a child of a child, and what children allocate themselves
void play_fork_small(void);   // with small blocks on disk
// allocator_mmap.c
void play_mmap(void);
void play_mremap(void);
void play_madvise(void);
void play_over(void);   // something else is mapped over a part
void play_random(void); // it is read at random, beyond memory
// allocator_threads.c
void play_threads(void);
void play_dlopen(void);
void play_cancel(void); // threads are cancelled while they allocate
