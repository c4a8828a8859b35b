// The files of wordsort share this: the record, and the parts of the program.
#pragma once
#include <diskalloc/vec.h>
#include <string.h>

enum { N_TOP = 10 }; // words that are printed

struct word {
    char text[64]; // the word, padded with at least one zero byte
};
static inline int word_less(const struct word *a, const struct word *b)
{
    return memcmp(a, b, sizeof *a) < 0;
}
DISKALLOC_VEC_DEFINE(words, struct word)
DISKALLOC_VEC_DEFINE_ORDER(words, struct word, word_less)

// Prints where the bytes of the vector are.
void wordsort_where(const struct words *v, struct diskalloc *da);
