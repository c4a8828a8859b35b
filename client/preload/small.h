// Small blocks on disk (--all): a heap in a region of its own.  Any thread.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diskalloc_heap;

// The process's heap, which the first call makes.  NULL: refused, and small_why() says why.
struct diskalloc_heap *small_heap(void);
// Why the last call on this thread failed.
const char *small_why(void);

// Before a fork: copies the heap for the child.  After it in the parent; and in the child, which has that copy at the
// addresses of the parent's heap, and begins a heap of its own when it needs one.
void small_prepare_fork(void);
void small_after_fork(void);
void small_forked(void);
