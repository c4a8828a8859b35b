// A region's address space.  See the essay in mapping.c.  One thread at a time for one mapping, unless something else is said.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/util/ranges.h"

struct mapping {
    char *base;       // NULL: none
    uint64_t reserve; // bytes of address space from base
    uint64_t granted; // accessible bytes, whole pages
    bool read_only;
};

// Takes address space: RESERVE bytes exactly where EXACT, else that or less, but at least NEEDED.
// 0 or -ENOMEM with the reason noted.
int mapping_reserve(struct mapping *m, uint64_t reserve, bool exact, uint64_t needed);
// Puts the file there, with no access yet.  0 or -errno.
int mapping_place(struct mapping *m, int fd, bool read_only);
void mapping_deinit(struct mapping *m); // idempotent
// A piece of what mapping_deinit does, of LENGTH granted bytes at most; false: the rest is mapping_deinit's.
bool mapping_unmap_piece(struct mapping *m, uint64_t length);

// Makes bytes 0 to SIZE accessible, and only these (rounded up to a page), less WITHOUT.  0, or -ENOMEM and nothing has changed;
// taking away fails only next to discarded parts, in a process that has no mapping left.
int mapping_set_access(struct mapping *m, uint64_t size, const struct ranges *without);
// Of the part that is granted, whole pages: takes the access away, or gives it but for WITHOUT.  0 or -ENOMEM.
int mapping_forbid(struct mapping *m, uint64_t from, uint64_t to);
int mapping_allow(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *without);
// Around a discarded part, whole pages: see the essay.  Before there is a hole: 0 or -ENOMEM.
int mapping_part(struct mapping *m, uint64_t from, uint64_t to);
// Around the parts that are discarded, between FROM and TO; and the same with large pages again for the rest.
void mapping_guard(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *discarded);
void mapping_tend(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *discarded);
// madvise(2) over what is granted between FROM and TO.  0 or -errno.
int mapping_advise(const struct mapping *m, uint64_t from, uint64_t to, int advice);
// Makes the memory of these bytes, as stores to each page would, but never SIGBUS.  0 or -errno.  Any thread, if nobody unmaps meanwhile.
int mapping_populate(const struct mapping *m, uint64_t from, uint64_t to);
// Writes the accessible bytes to the file's disk.  0 or -errno.
int mapping_sync(const struct mapping *m);
