// Shared memory between the script (script.c) and the driver: which promises the script was given, and its complaint.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROMISES_MAX = 8 };

enum promise_state {
    PROMISE_NONE,   // nothing was promised
    PROMISE_THERE,  // the named region exists
    PROMISE_UNSURE, // it may exist or not: the answer was lost
    PROMISE_GONE,   // it was unlinked
};

struct promise {
    char name[64];
    enum promise_state state;
    uint64_t size, other_size; // it has one of them; they differ if the answer to a resize was lost
    uint64_t written;          // bytes of the pattern
    uint64_t seed;             // of the pattern
    uint64_t used, other_used; // as committed
};

// Of a vector of strings, and of a heap.
struct contents {
    enum promise_state state;
    size_t n, other; // strings: as committed, or about to be; nodes: that are linked
};

struct report {
    struct promise promises[PROMISES_MAX];
    unsigned n_promises;
    struct contents strings, heap;
    unsigned n_done, n_failed; // calls
    bool ended;                // the script came to its end
    char complaint[600];       // the first; "": none
    char doing[64];            // the part of the script at work: where a hang or a crash was
};
