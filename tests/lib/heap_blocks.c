// See heap_blocks.h.
#include "tests/lib/heap_blocks.h"

struct diskalloc_heap *try_open_heap(struct test_backend *b, const char *name, uint32_t flags, int *ret_error)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;

    assert_int_equal(open_named(b->da, name, 0, flags, &r), 0);
    *ret_error = diskalloc_heap_open(r, &h);
    if (*ret_error < 0)
        diskalloc_region_close(r);
    return h;
}

struct diskalloc_heap *open_heap(struct test_backend *b, const char *name)
{
    int e;
    struct diskalloc_heap *h = try_open_heap(b, name, DISKALLOC_REGION_CREATE, &e);

    if (e != 0)
        print_error("%s\n", diskalloc_last_error());
    assert_int_equal(e, 0);
    return h;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static char byte_at(uint64_t seed, size_t i)
{
    return (char)(seed * 31 + i * 7 + (i >> 12));
}

// The first and last pages of a large block stand for it.
static bool is_looked_at(size_t i, size_t size)
{
    return i < 5000 || i + 5000 > size;
}

static void fill(char *p, uint64_t seed, size_t from, size_t size)
{
    for (size_t i = from; i < size; i++)
        if (is_looked_at(i, size))
            p[i] = byte_at(seed, i);
}

static void expect(const char *p, uint64_t seed, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++)
        if (is_looked_at(i, size) && p[i] != byte_at(seed, i))
            fail_msg("byte %zu of a block of %zu", i, size);
}

struct block *blocks_new(struct diskalloc_heap *h)
{
    struct block *table = diskalloc_heap_calloc(h, BLOCKS_N, sizeof *table);

    assert_non_null(table);
    assert_int_equal(diskalloc_heap_set_root(h, table), 0);
    return table;
}

struct block *blocks_of(struct diskalloc_heap *h)
{
    struct block *table = diskalloc_heap_root(h);

    assert_non_null(table);
    return table;
}

static void allocate(struct diskalloc_heap *h, struct block *b, uint64_t random, size_t size)
{
    size_t alignment = (size_t)1 << (random >> 40) % 18;
    char *p;

    switch ((random >> 60) % 4) {
    case 0:
        p = diskalloc_heap_calloc(h, 1, size);
        assert_non_null(p);
        for (size_t i = 0; i < size; i++)
            if (is_looked_at(i, size))
                assert_int_equal(p[i], 0);
        break;
    case 1:
        p = diskalloc_heap_memalign(h, alignment, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignment, 0);
        break;
    default:
        p = diskalloc_heap_malloc(h, size);
        assert_non_null(p);
    }
    assert_int_equal((uintptr_t)p % 16, 0);
    assert_true(diskalloc_heap_usable_size(h, p) >= size);
    *b = (struct block){DISKALLOC_HEAP_OFFSET(h, p), size, random};
    fill(p, b->seed, 0, size);
}

void blocks_step(struct diskalloc_heap *h, struct block *table, uint64_t seed, unsigned n_steps, size_t most)
{
    uint64_t state = seed;

    while (n_steps-- > 0) {
        uint64_t random = next_random(&state);
        struct block *b = &table[random % BLOCKS_N];
        size_t size = (random >> 20) % ((random >> 12) % 8 ? 600 : most);
        char *p = DISKALLOC_HEAP_POINTER(h, b->offset);

        if (!p) {
            allocate(h, b, random, size);
        } else if ((random >> 50) % 3 == 0) {
            size = size > 0 ? size : 1;
            p = diskalloc_heap_realloc(h, p, size);
            assert_non_null(p);
            expect(p, b->seed, b->size < size ? b->size : size, b->size);
            *b = (struct block){DISKALLOC_HEAP_OFFSET(h, p), size, random};
            fill(p, b->seed, 0, size);
        } else {
            expect(p, b->seed, b->size, b->size);
            diskalloc_heap_free(h, p);
            b->offset = 0;
        }
    }
}

void blocks_check(struct diskalloc_heap *h, const struct block *table)
{
    for (size_t i = 0; i < BLOCKS_N; i++)
        if (table[i].offset)
            expect(DISKALLOC_HEAP_POINTER(h, table[i].offset), table[i].seed, table[i].size, table[i].size);
}

void blocks_free(struct diskalloc_heap *h, struct block *table)
{
    blocks_check(h, table);
    for (size_t i = 0; i < BLOCKS_N; i++) {
        diskalloc_heap_free(h, DISKALLOC_HEAP_POINTER(h, table[i].offset));
        table[i].offset = 0;
    }
}
