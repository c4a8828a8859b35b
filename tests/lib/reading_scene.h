// A region larger than the memory of its control group, which a child reads: what the library does about it is
// counted.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/cgroup.h"
#include "tests/lib/test_backend.h"

#include "client/diskalloc.h"
#include "client/region/region.h"

// A sanitizer needs memory for itself.
#define SCENE_SIZE (256 * MIB)
#define SCENE_LIMIT (SANITIZED ? 128 * MIB : 64 * MIB)

// The words at multiples of SCENE_STRIDE are known.
enum { SCENE_STRIDE = 4096, SCENE_ROUNDS = 20, SCENE_READS = 200 };

struct scene {
    const char *address;
    void (*play)(struct scene *s);
    size_t limit; // 0: none
    uid_t user;   // -1: the child stays who the parent is
    struct cgroup group;
    // Of the child:
    struct diskalloc *da;
    struct diskalloc_region *r;
    uint64_t random;
};

// Runs FN in a child, which is in a group with this limit unless that is 0, with a named region of the backend's.
void scene_run(struct test_backend *b, void (*fn)(struct scene *s), size_t limit);
// The same as another user, whom the region's mode lets attach it.  The caller is root.
void scene_run_as(struct test_backend *b, void (*fn)(struct scene *s), size_t limit, uid_t user);
// PLAY_name as two tests, which EACH_BACKEND(name) puts on cmocka's list.
#define SCENE(name, limit)                   \
    static void name(struct test_backend *b) \
    {                                        \
        scene_run(b, play_##name, limit);    \
    }                                        \
    FOR_EACH_BACKEND(name)

// The same as one test, for what concerns the library alone.
#define SCENE_EMBEDDED(name, limit)                 \
    static void body_##name(struct test_backend *b) \
    {                                               \
        scene_run(b, play_##name, limit);           \
    }                                               \
    static void name(void **state)                  \
    {                                               \
        (void)state;                                \
        backend_run(false, NULL, body_##name);      \
    }

// In the child:
void scene_open(struct scene *s, uint32_t region_flags, uint32_t flags);
void scene_close(struct scene *s);
struct diskalloc_adaptation scene_counted(struct scene *s);
// Checks the word that is there.
void scene_read(struct scene *s, uint64_t at);
// Of such a word.
uint64_t scene_random_place(struct scene *s);
// SCENE_READS reads at random.
void scene_read_some(struct scene *s, uint64_t from, uint64_t to);
// N more parts have single pages.  The deadline of the test ends these two if nothing changes.
void scene_read_until_single(struct scene *s, uint64_t n);
void scene_scan_until_all_large(struct scene *s);
// Random reads, over which the library looks SCENE_ROUNDS times.
void scene_read_for_rounds(struct scene *s, uint64_t from, uint64_t to);
