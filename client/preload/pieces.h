// What of the program's address space is mapped from regions: a list of pieces, sorted by address.  Pure.
//
// A block of malloc is one piece, or several in a row when it has grown and the bytes behind it were taken; memory of
// mmap is cut into pieces as the program unmaps, moves and protects parts of it.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct piece {
    uintptr_t at;     // the address; neighbours do not overlap
    uint64_t length;  // bytes
    uint64_t offset;  // in the region
    unsigned region;  // an index of the caller's
    int access;       // PROT_...
    unsigned born;    // how often the process had forked when the bytes were taken
    uintptr_t block;  // where the block of malloc begins that the piece is part of; 0: memory of mmap
    uint64_t reserve; // of a block's first piece: address space that is kept for the block; 0: none
};

struct pieces {
    struct piece *items; // owned
    size_t n, n_allocated;
};

void pieces_deinit(struct pieces *p);
// Makes room for N pieces more, so that the next calls that add as many can't fail.  0 or -ENOMEM.
int pieces_reserve(struct pieces *p, size_t n);
// The index of the first piece that ends behind AT; p->n: none does.
size_t pieces_find(const struct pieces *p, uintptr_t at);
// The index of the first piece of the block that begins at AT; p->n: no block does.
size_t pieces_find_block(const struct pieces *p, uintptr_t at);
// The bytes of the block whose first piece has index I, and in *RET_N the number of its pieces.
uint64_t pieces_block_length(const struct pieces *p, size_t i, size_t *ret_n);
// Needs room for one piece.
void pieces_insert(struct pieces *p, struct piece piece);
// If AT lies inside of a piece, that piece becomes two.  Needs room for one.
void pieces_split(struct pieces *p, uintptr_t at);
void pieces_remove(struct pieces *p, size_t i, size_t n);
