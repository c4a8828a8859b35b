// The SIGBUS guard of a region's memory.  See the essay in guard.c.  One thread at a time uses a guard, unless
// something else is said.
#pragma once
#include <diskalloc/client.h>
#include <stdatomic.h>

#include "client/memory/mapping.h"

struct guard_slot;

struct guard {
    struct diskalloc_region *region; // for whom the program is told
    const struct mapping *mapping;
    struct guard_slot *slot; // NULL: not guarded
    // 1 + the offset of the first page that was replaced; 0: none was.  A handler on any thread writes it.
    _Atomic uint64_t lost_at;
};

// MAPPING is mapped, and guarded from now on if the program wants that.  0 or -ENOMEM.
int guard_begin(struct guard *guard, struct diskalloc_region *region, const struct mapping *mapping);
// Before the memory is unmapped; idempotent.
void guard_end(struct guard *guard);
// Whether the program has enabled the guard.  Before that, no page is replaced.
bool guard_is_enabled(void);
// 0; -EIO: pages were replaced.
int guard_error(const struct guard *guard);
// The bytes between FROM and TO are taken away: they are zero if they are granted again.
void guard_zero(struct guard *guard, uint64_t from, uint64_t to);
