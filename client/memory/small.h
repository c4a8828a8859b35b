// The memory of a small vector, which has no file yet.  See the essay in small.c.  Sizes are bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct mapping;

// Makes the first SIZE bytes of the address space M accessible, as zeros that forked children share.  0; or -ENOMEM
// with the reason noted.
int small_begin(struct mapping *m, uint64_t size);
// Maps FD, an empty file of SIZE bytes at least, over M: its accessible bytes move into the file, and SIZE bytes are
// accessible afterwards.  STAY: the bytes that are accessible now stay where they are, and small_move follows.
// 0; or -errno with the reason noted, and the memory is as before.
int small_give_file(struct mapping *m, int fd, uint64_t size, bool stay);
// Moves the first LENGTH bytes, whole pages, into the file FD that the rest of M maps.  Other threads may read the
// memory meanwhile, and must not write to it.  0; or -errno with the reason noted, and nothing has changed.
int small_move(struct mapping *m, int fd, uint64_t length);
