// Large pages where single ones are asked for are split, which the kernel does as soon as they are clean.
#include "client/memory/split.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "client/memory/advice.h"
#include "client/memory/mapping.h"
#include "client/memory/residency.h"
#include "proto/util/page.h"
#include "tests/lib/actor.h"
#include "tests/lib/proc_self.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#define UNIT (2 * MIB)

enum { PAGE = PAGE_WITH_HUGE_OF_2_MIB, PAGES = 512, MOST = 128, PART = 32, NOW = 1000, LOOK_MS = 50 };

// ---- A kernel that tells what the test says ----

static struct unit {
    unsigned in_memory; // pages, from the first one on
    unsigned n_looks, n_split;
} units[MOST];
static bool pretends;
static const struct mapping nowhere = {.base = (char *)(64 * MIB)};

uint16_t __wrap_residency_window(const struct residency *r, uint64_t at, unsigned n);
uint16_t __real_residency_window(const struct residency *r, uint64_t at, unsigned n);
int __wrap_madvise(void *at, size_t length, int advice);
int __real_madvise(void *at, size_t length, int advice);

uint16_t __wrap_residency_window(const struct residency *r, uint64_t at, unsigned n)
{
    if (!pretends)
        return __real_residency_window(r, at, n);
    assert_true(at / UNIT < MOST);
    assert_int_equal(at % PAGE, 0);
    units[at / UNIT].n_looks++;
    return at % UNIT / PAGE < units[at / UNIT].in_memory;
}

int __wrap_madvise(void *at, size_t length, int advice)
{
    uint64_t unit = (uint64_t)((char *)at - nowhere.base) / UNIT;

    if (!pretends)
        return __real_madvise(at, length, advice);
    assert_true(length < UNIT); // a whole page would not be split
    assert_true(unit < MOST);
    assert_true(units[unit].n_looks > 0);
    if (advice == MADV_COLD)
        units[unit].n_split++;
    return 0;
}

static void begin(struct split *s, struct split_region *r)
{
    *s = (struct split){0};
    *r = (struct split_region){.mapping = &nowhere, .part_size = PART * UNIT};
    memset(units, 0, sizeof units);
    pretends = true;
}

static void set_in_memory(unsigned from, unsigned to, unsigned pages)
{
    for (unsigned i = from; i < to; i++)
        units[i].in_memory = pages;
}

// For SECONDS.
static void look_for(struct split *s, const struct split_region *r, uint64_t *now, unsigned seconds)
{
    for (uint64_t end = *now + seconds * 1000; *now < end; *now += LOOK_MS)
        split_look(s, r, *now);
}

static void large_pages_are_split_where_single_ones_are_asked_for(void **state)
{
    uint64_t now = NOW;
    struct split_region r;
    struct split s;

    (void)state;
    begin(&s, &r);
    r.single_to[1] = 2 * PART * UNIT - 1; // the last one is not whole
    r.single_to[3] = (3 * PART + 2) * UNIT;
    set_in_memory(0, MOST, PAGES);
    set_in_memory(PART + 3, PART + 5, PAGES / 2);
    look_for(&s, &r, &now, 2);
    pretends = false;
    for (unsigned i = 0; i < MOST; i++) {
        bool single = (i >= PART && i < 2 * PART - 1) || (i >= 3 * PART && i < 3 * PART + 2);

        assert_true(single ? units[i].n_looks > 0 : units[i].n_looks == 0);
        assert_true(single && units[i].in_memory == PAGES ? units[i].n_split > 1 : units[i].n_split == 0);
    }
}

static void what_is_large_again_is_left_alone(void **state)
{
    uint64_t now = NOW;
    struct split_region r;
    struct split s;
    unsigned n;

    (void)state;
    begin(&s, &r);
    r.single_to[0] = PART * UNIT;
    look_for(&s, &r, &now, 1);
    n = units[0].n_looks;
    r.single_to[0] = 0;
    look_for(&s, &r, &now, 20);
    pretends = false;
    assert_true(n > 0);
    assert_int_equal(units[0].n_looks, n);
}

static void looks_become_rare_and_do_not_end(void **state)
{
    uint64_t now = NOW;
    struct split_region r;
    struct split s;
    unsigned n;

    (void)state;
    begin(&s, &r);
    r.single_to[0] = PART * UNIT;
    look_for(&s, &r, &now, 10);
    n = units[5].n_looks;
    look_for(&s, &r, &now, 60);
    pretends = false;
    assert_true(n > 1);
    assert_in_range(units[5].n_looks, n + 5, n + 20);
    n = units[5].n_looks;
    now += 3600 * 1000; // the program has read nothing
    pretends = true;
    look_for(&s, &r, &now, 60);
    pretends = false;
    assert_in_range(units[5].n_looks, n + 5, n + 20);
}

// A part that has single pages newly does not wait for that.
static void another_part_is_looked_at_often(void **state)
{
    uint64_t now = NOW;
    struct split_region r;
    struct split s;

    (void)state;
    begin(&s, &r);
    r.single_to[0] = PART * UNIT;
    look_for(&s, &r, &now, 60);
    r.single_to[2] = 3 * PART * UNIT;
    look_for(&s, &r, &now, 2);
    pretends = false;
    assert_true(units[2 * PART].n_looks > 10);
}

// ---- This machine's kernel ----

static void touch_each_unit(const struct mapping *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void)*(volatile char *)(m->base + i * UNIT);
}

static void large_pages_of_a_file_are_split(void **state)
{
    enum { N = 8 };
    const struct ranges none = {0};
    struct mapping m;
    struct residency residency;
    struct split_region r = {.mapping = &m, .residency = &residency, .part_size = N * UNIT, .single_to = {N * UNIT}};
    struct split s = {0};
    char path[256];
    unsigned before;
    int fd;

    (void)state;
    scratch_make_dir(path, sizeof path);
    fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    rmdir(path);
    NEED(fd >= 0);
    assert_int_equal(ftruncate(fd, N * UNIT), 0);
    assert_int_equal(mapping_reserve(&m, 2 * N * UNIT, true, N * UNIT), 0);
    assert_int_equal(mapping_place(&m, fd, false), 0);
    mapping_use_large(&m);
    residency_init(&residency, &m);
    assert_int_equal(mapping_set_access(&m, N * UNIT, &none), 0);
    for (unsigned i = 0; i < N; i++)
        m.base[i * UNIT] = 1;
    touch_each_unit(&m, N);
    before = count_large_kib(m.base);
    NEED(residency_begin(&residency));
    if (before == 0) {
        print_message("no large pages of files\n");
        skip();
    }
    assert_int_equal(advice_give(&m, 0, N * UNIT, MADV_RANDOM), 0);
    for (unsigned i = 0; i < 100 && count_large_kib(m.base) > 0; i++) {
        NEED(fdatasync(fd) == 0);
        split_look(&s, &r, NOW + i * LOOK_MS);
        touch_each_unit(&m, N); // a page that is still large is mapped as such again
    }
    assert_int_equal(count_large_kib(m.base), 0);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(m.base[i * UNIT], 1);
    mapping_deinit(&m);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(large_pages_are_split_where_single_ones_are_asked_for),
        TEST(what_is_large_again_is_left_alone),
        TEST(looks_become_rare_and_do_not_end),
        TEST(another_part_is_looked_at_often),
        TEST(large_pages_of_a_file_are_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
