// Advice to the kernel about how the bytes of a mapping will be used.  Sizes and offsets are bytes.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "client/memory/mapping.h"

// madvise(2) on the bytes between FROM and TO; only on those that are granted, where ADVICE is about single pages.  0
// or -errno.
int advice_give(const struct mapping *m, uint64_t from, uint64_t to, int advice);
// Starts reading the pieces, whole pages of mappings, and does not wait for the disk unless its queue is full.  A piece
// that can't be read now is left out.
void advice_read_ahead(const struct iovec *pieces, size_t n);
// Advice for the bytes before TO, as far as they are whole large pages: a miss reads one large page, and not the next
// one too.
void advice_read_alone(const struct mapping *m, uint64_t to);
