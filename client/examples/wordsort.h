// The parts of wordsort.
#pragma once
#include <diskalloc/vec.h>

enum { N_TOP = 10 };

struct word {
    char text[64]; // padded with zeros, at least one
};
DISKALLOC_VEC_DEFINE(words, struct word)

// By bytes, in place: no memory but the stack's.
void wordsort_sort(struct word *words, size_t n);
// Prints where the bytes of the vector are.
void wordsort_where(const struct words *v, struct diskalloc *da);
