// Tells a process whether children that it has forked may still use its memory: see witness.c.  One thread at a time.
#pragma once
#include <stdbool.h>

#include "client/util/descriptor.h"

// The parent's part.  Several children may have the same one; each of them has to end.
struct witness {
    struct descriptor pipe, memory; // for reading; memory: DESCRIPTOR_NONE if it could not be had
};

// The child's part, of which the parent closes its copy after the fork.  -1: none.
struct witness_ends {
    int pipe, memory;
};

#define WITNESS_ENDS_NONE ((struct witness_ends){.pipe = -1, .memory = -1})

// Before a fork, in the parent.  *ENDS has been WITNESS_ENDS_NONE.  False: neither can be had, and nothing has changed.
bool witness_make(struct witness *w, struct witness_ends *ends);
bool witness_share(const struct witness *w, struct witness_ends *ends);
void witness_close_ends(struct witness_ends *ends);
// In the child, which has the ends for as long as it lives.
void witness_keep_ends(struct witness_ends *ends);

// False: the program has closed it.
bool witness_is_ours(const struct witness *w);
// Of one that is ours.
bool witness_has_child(const struct witness *w);
// HAS_ENDED: no child has it any more, and a later one of this process may be made of what it had.
void witness_close(struct witness *w, bool has_ended);
// Closes the file that was kept for later ones.  To be called in a child too, before it makes any.
void witness_close_spare(void);
