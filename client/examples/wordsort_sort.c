// An American flag sort of the records.
//
// It counts the letters at one position of the words, moves every record into the part of the array that belongs to its
// letter, and then sorts each part by the next letter.  Words that have ended at the position are equal, so their part
// needs no more sorting.
#include <string.h>

#include "wordsort.h"

enum {
    N_LETTERS = 27, // a to z, and the end of a word
    FEW = 24,       // so few records are sorted by insertion
};

// 0 for a word that has ended before AT, 1 to 26 for a to z.
static unsigned letter(const struct word *w, size_t at)
{
    return w->text[at] ? (unsigned)(w->text[at] - 'a') + 1 : 0;
}

static void insertion_sort(struct word *words, size_t n, size_t at)
{
    for (size_t i = 1; i < n; i++) {
        struct word w = words[i];
        size_t j = i;

        for (; j > 0 && memcmp(words[j - 1].text + at, w.text + at, sizeof w.text - at) > 0; j--)
            words[j] = words[j - 1];
        words[j] = w;
    }
}

// Orders the records by the letter at AT.  Afterwards START[c] is the index at which the part of letter c begins, and
// START[N_LETTERS] is N.
static void partition(struct word *words, size_t n, size_t at, size_t start[static N_LETTERS + 1])
{
    size_t next[N_LETTERS];

    memset(start, 0, (N_LETTERS + 1) * sizeof *start);
    for (size_t i = 0; i < n; i++)
        start[letter(&words[i], at) + 1]++;
    for (size_t c = 0; c < N_LETTERS; c++)
        start[c + 1] += start[c];
    memcpy(next, start, sizeof next);
    for (unsigned c = 0; c < N_LETTERS; c++) {
        while (next[c] < start[c + 1]) {
            struct word w = words[next[c]];

            for (unsigned to; (to = letter(&w, at)) != c;) {
                struct word displaced = words[next[to]];

                words[next[to]++] = w;
                w = displaced;
            }
            words[next[c]++] = w;
        }
    }
}

static void sort_from(struct word *words, size_t n, size_t at)
{
    size_t start[N_LETTERS + 1];

    if (n < FEW) {
        insertion_sort(words, n, at);
        return;
    }
    partition(words, n, at, start);
    for (size_t c = 1; c < N_LETTERS; c++)
        sort_from(words + start[c], start[c + 1] - start[c], at + 1);
}

void wordsort_sort(struct word *words, size_t n)
{
    sort_from(words, n, 0);
}
