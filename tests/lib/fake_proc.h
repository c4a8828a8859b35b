// A made-up tree of /proc and /sys in a temporary directory, for pressure_look.  Sizes in MiB unless said.
#pragma once
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
__attribute__((format(printf, 3, 4))) static inline void put(struct tree *t, const char *path, const char *text, ...)
{
    char full[512];
    va_list args;
    FILE *f;

    assert_true((size_t)snprintf(full, sizeof(full), "%s%s", t->dir, path) < sizeof(full));
    for (char *slash = strchr(full + strlen(t->dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    f = fopen(full, "we");
    assert_non_null(f);
    va_start(args, text);
    assert_true(vfprintf(f, text, args) >= 0);
    va_end(args);
    assert_int_equal(fclose(f), 0);
}

void take(struct tree *t, const char *path);
// Of 10000 MiB that can be dirty.
void put_machine(struct tree *t, unsigned available, unsigned dirty, unsigned writeback);
void put_thresholds(struct tree *t, uint64_t background, uint64_t dirty, const char *unit);
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
