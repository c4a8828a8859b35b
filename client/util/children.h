// Whether a child that was forked may still use the memory that it inherited: see children.c.
#pragma once
#include <stdbool.h>
#include <sys/queue.h>

#include "proto/util/name.h"

// A region of this process, which children inherit.
struct shared_region {
    unsigned before;                     // children that were forked before the region was mapped have no part of it
    char handle[HANDLE_TEXT_LENGTH + 1]; // "": not known, or the region has none
    LIST_ENTRY(shared_region) entry;
};

// These may be called on any thread, without fork_lock.  From children_watch on, until children_forget, children
// inherit S.
void children_watch(struct shared_region *s);
// S is the region HANDLE.  This process may have had that region before, in another object: a child that inherited
// that one counts.
void children_name(struct shared_region *s, const char *handle);
void children_forget(struct shared_region *s);
// Whether there was a fork since S was mapped.
bool children_were_made(const struct shared_region *s);
// Whether a child that inherited S may still live.  Waits a moment for one that is about to run another program.
bool children_live(const struct shared_region *s);
