// Two clients of a daemon, or of a directory, that share a region; events about it; and a shrink in a thread of its
// own.
#pragma once
#include "tests/lib/test_backend.h"

#include <pthread.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { SIZE = 1 << 20, LESS = 1 << 16 };

// Two clients with the same region.
struct pair {
    struct diskalloc *mine, *theirs;
    struct diskalloc_region *a, *b;
};

// The region has SIZE bytes of 5.  FLAGS: of the second client.
void pair_open(struct pair *p, struct test_backend *b, uint32_t flags);
void pair_close(struct pair *p); // regions that are NULL were closed
// Whether this process has access to the byte at OFFSET: the kernel tells without a signal.
bool has_access(struct diskalloc_region *r, uint64_t offset);
// The next event of DA is about R, of KIND, and says SIZE.
void expect_event(struct diskalloc *da, struct diskalloc_region *r, int kind, uint64_t size);
// Somebody has asked for LESS, and nothing came of it.
void expect_end_of_ask(struct diskalloc *da, struct diskalloc_region *r);
void expect_no_event(struct diskalloc *da);

struct cut {
    pthread_t thread;
    struct diskalloc_region *region;
    uint64_t size;
    int timeout_ms, result;
};

void cut_begin(struct cut *c, struct diskalloc_region *r, uint64_t size, int timeout_ms);
int cut_end(struct cut *c); // what the call has returned

// A test that makes sense with a daemon only, and its place on cmocka's list.
#define WITH_A_DAEMON(body)                    \
    static void body##_with_a_daemon(void **s) \
    {                                          \
        (void)s;                               \
        backend_run(true, NULL, body);         \
    }
#define ONE(body) TEST(body##_with_a_daemon)
