// What there is once in a process: the lists of its clients and regions, and what a fork does to them.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "proto/util/name.h"

struct diskalloc;
struct diskalloc_region;

// Guards the lists, the blocks of the realloc face, and descriptors that a fork must not leak.  Short sections only; taken
// last.  A fork takes it.
void process_lock(void);
void process_unlock(void);

// How many forks lie between this process and the first one.  What has another number was inherited.
unsigned process_generation(void);

void process_add_client(struct diskalloc *da);
void process_remove_client(struct diskalloc *da);
void process_add_region(struct diskalloc_region *r);
void process_remove_region(struct diskalloc_region *r);

// A new descriptor, with an open file description of its own, of the file of a region of this process (inherited ones count)
// with a descriptor and this handle; -ENOENT, or -errno.
int process_reopen_file(const struct handle *handle, bool read_only);
