// A made-up tree of /proc and /sys in a temporary directory, for pressure_look.  Sizes are MiB unless something else
// is said.
#pragma once
#include <unistd.h>

#include "client/memory/pressure.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

struct tree {
    char dir[128];
    struct pressure p;
    struct pressure_state s;
};

void tree_start(struct tree *t);
void tree_end(struct tree *t);
// TEXT into the file at PATH, with the directories above it.
void put(struct tree *t, const char *path, const char *text, ...) __attribute__((format(printf, 3, 4)));

void take(struct tree *t, const char *path);
void put_mounts(struct tree *t, const char *v1_root, const char *v2_root);
// In MiB; ABOVE: what hierarchical_memory_limit is, 0 for none.
void put_v1(struct tree *t, const char *dir, unsigned limit, unsigned usage, unsigned file, unsigned dirty,
            unsigned writeback, unsigned above);
void put_v2(struct tree *t, const char *dir, const char *max, const char *high, unsigned usage, unsigned file,
            unsigned dirty, unsigned writeback);
void expect(struct tree *t, uint64_t room, uint64_t most);
void expect_after_a_search(struct tree *t, uint64_t room, uint64_t most);
#define NOTHING_SAID UINT64_MAX, UINT64_MAX
#define WITH_TREE(t) \
    struct tree t;   \
    (void)state;     \
    tree_start(&t)

void put_v1_group(struct tree *t, const char *path);
