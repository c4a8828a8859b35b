// A region's address space.  See the essay in mapping.c.  One thread at a time uses a mapping, unless something else
// is said.  Sizes and offsets are bytes.
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

// Takes RESERVE bytes of address space; if not EXACT, less will do, but at least NEEDED bytes.
// 0; or -ENOMEM with the reason noted.
int mapping_reserve(struct mapping *m, uint64_t reserve, bool exact, uint64_t needed);
// Takes RESERVE bytes at ADDRESS, both multiples of RESERVATION_ALIGN.  False: that can't be had.
bool mapping_reserve_at(struct mapping *m, uint64_t address, uint64_t reserve);
// Maps the file FD over the address space, with no access yet.  0 or -errno.
int mapping_place(struct mapping *m, int fd, bool read_only);
// Maps FD, the same file opened again, in place of the first one.  Access stays as it is: to the granted bytes, but
// not to those in WITHOUT.  Advice is forgotten.  Other threads may use the memory meanwhile.  0; or -errno, and each
// byte is still mapped.
int mapping_replace(struct mapping *m, int fd, const struct ranges *without);
// Asks for large pages for these bytes.  0, also on a kernel that has none; -1 with errno.
int mapping_ask_for_large(char *at, uint64_t length);
void mapping_use_large(struct mapping *m); // asks for large pages, for the whole address space
void mapping_deinit(struct mapping *m);    // idempotent
// Unmaps LENGTH granted bytes at most.  False: only the last piece is left, for mapping_deinit.
bool mapping_unmap_piece(struct mapping *m, uint64_t length);

// Makes the bytes from 0 to SIZE accessible, rounded up to a page, and no others; not those in WITHOUT.  0; or
// -ENOMEM and nothing has changed. Taking access away fails only next to discarded parts, in a process that may not
// have one more mapping.
int mapping_set_access(struct mapping *m, uint64_t size, const struct ranges *without);
// Take access away from granted bytes, or give it, except to those in WITHOUT.  Whole pages.  0 or -ENOMEM.
int mapping_forbid(struct mapping *m, uint64_t from, uint64_t to);
int mapping_allow(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *without);
// Before the part from FROM to TO is discarded, whole pages: leaves no large page across its ends (see the essay).  0
// or -ENOMEM.
int mapping_part(struct mapping *m, uint64_t from, uint64_t to);
// Around the discarded parts between FROM and TO: asks for small pages; mapping_tend also asks for large pages again
// for the rest.
void mapping_guard(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *discarded);
void mapping_tend(struct mapping *m, uint64_t from, uint64_t to, const struct ranges *discarded);
// Makes the pages of these bytes, as stores to them would, but without SIGBUS.  0 or -errno.  Any thread, if no other
// thread unmaps meanwhile.
int mapping_populate(const struct mapping *m, uint64_t from, uint64_t to);
// Whether the file still reaches to the inaccessible page at OFFSET: 1 or 0; -errno: the kernel can't tell (before
// Linux 5.14).  The page is readable for a moment.
int mapping_reaches(struct mapping *m, uint64_t offset);
// Writes the accessible bytes to the file's disk.  0 or -errno.
int mapping_sync(const struct mapping *m);
