// What the files of wordsort share: the record, and the parts of the program.
#pragma once
#include <diskalloc/vec.h>

enum { N_TOP = 10 }; // words that are printed

struct word {
    char text[64]; // the word, padded with at least one zero byte
};
DISKALLOC_VEC_DEFINE(words, struct word)

// Sorts N records by their bytes, in place: it needs no memory but the stack.
void wordsort_sort(struct word *words, size_t n);
// Prints where the bytes of the vector are.
void wordsort_where(const struct words *v, struct diskalloc *da);
