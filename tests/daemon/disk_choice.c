// Where new regions are made: by the space of the disks, and by the rules of the configuration.
#include "tests/lib/harness.h"

#include <stdlib.h>

#include "daemon/config/disk.h"
#include "daemon/disk.h"
#include "tests/lib/scratch.h"

enum { N = 3 };
static const uint64_t gib = (uint64_t)1 << 30;

struct scene {
    char dir[N][256];
    struct disk disks[N];
    struct config_disk rules[N];
};

static void init(struct scene *s)
{
    *s = (struct scene){0};
    for (unsigned i = 0; i < N; i++) {
        char *error = NULL;

        scratch_make_dir(s->dir[i], sizeof s->dir[i]);
        assert_int_equal(store_open(s->dir[i], false, &file_ops_system, &s->disks[i].store, &error), 0);
        s->disks[i].number = i;
        s->disks[i].next = i + 1 < N ? &s->disks[i + 1] : NULL;
        s->disks[i].rule = &s->rules[i];
        s->disks[i].space = (struct store_space){.total = 100 * gib, .used = 50 * gib, .available = 50 * gib};
    }
}

static void deinit(struct scene *s)
{
    for (int i = 0; i < N; i++) {
        store_close(s->disks[i].store);
        scratch_remove_tree(s->dir[i]);
    }
}

static struct disk_wish wish(uint64_t size)
{
    return (struct disk_wish){.owner = 1000, .owner_name = "alice", .size = size};
}

// The number of the disk; -1: none.
static int choose(struct scene *s, const struct disk_wish *w)
{
    const struct disk *d = disk_choose(&s->disks[0], w);

    return d ? (int)d->number : -1;
}

static int choose_for(struct scene *s, uint64_t size)
{
    const struct disk_wish w = wish(size);

    return choose(s, &w);
}

static void a_region_goes_where_most_is_free(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    assert_int_equal(choose_for(&s, gib), 0);
    s.disks[2].space.available += 1;
    assert_int_equal(choose_for(&s, gib), 2);
    s.disks[2].keep_free = 2; // is not free
    assert_int_equal(choose_for(&s, gib), 0);
    s.disks[0].keep_free = s.disks[1].keep_free = UINT64_MAX;
    assert_int_equal(choose_for(&s, gib), 2);
    deinit(&s);
}

static void a_file_system_with_several_spill_directories_keeps_the_largest_of_their_keep_free(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    for (unsigned i = 0; i < N; i++)
        s.disks[i].keep_free = (i + 1) * gib;
    assert_int_equal(disks_keep_free(&s.disks[0]), N * gib);
    assert_false(disk_shares_file_system(&s.disks[0], &s.disks[0]));
    assert_true(disk_shares_file_system(&s.disks[0], &s.disks[1]));
    deinit(&s);
}

static void bytes_that_are_granted_and_not_yet_written_are_not_free(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    // Since the disk was asked.
    s.disks[0].granted.used[QUOTA_BYTES] = 30 * gib;
    s.disks[0].written = 20 * gib;
    assert_int_equal(disk_free(&s.disks[0]), 40 * gib);
    assert_int_equal(choose_for(&s, gib), 1);
    // Bytes of regions that were removed since then are free.
    s.disks[0].granted.used[QUOTA_BYTES] = 15 * gib;
    assert_int_equal(disk_free(&s.disks[0]), 55 * gib);
    assert_int_equal(choose_for(&s, gib), 0);
    deinit(&s);
}

static void a_sparse_region_takes_what_is_not_written_of_it(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    s.disks[0].granted.used[QUOTA_BYTES] = s.disks[0].written = 30 * gib;
    s.disks[0].sparse.used[QUOTA_BYTES] = 40 * gib; // 20 of the 50 that are used are theirs
    assert_int_equal(disk_free(&s.disks[0]), 30 * gib);
    s.disks[0].space.used = 70 * gib; // all are
    assert_int_equal(disk_free(&s.disks[0]), 50 * gib);
    s.disks[0].sparse.used[QUOTA_BYTES] = 400 * gib;
    s.disks[0].space.used = 30 * gib;
    assert_int_equal(disk_free(&s.disks[0]), 0);
    deinit(&s);
}

static void a_disk_with_a_problem_comes_last(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    s.disks[0].space.available = 90 * gib;
    s.disks[0].problem = "it burns";
    assert_int_equal(choose_for(&s, gib), 1);
    s.disks[1].problem = s.disks[2].problem = "they burn too";
    assert_int_equal(choose_for(&s, gib), 0); // which refuses with its sentence
    deinit(&s);
}

static void disks_that_have_refused_are_not_asked_again(void **state)
{
    struct scene s;
    struct disk_wish w = wish(gib);

    (void)state;
    init(&s);
    w.tried = 1 << 0;
    assert_int_equal(choose(&s, &w), 1);
    w.tried = 1 << 0 | 1 << 1;
    assert_int_equal(choose(&s, &w), 2);
    w.tried = 1 << 0 | 1 << 1 | 1 << 2;
    assert_int_equal(choose(&s, &w), -1);
    deinit(&s);
}

static void the_disk_of_a_clones_source_is_preferred(void **state)
{
    struct scene s;
    struct disk_wish w = wish(gib);

    (void)state;
    init(&s);
    w.favourite = &s.disks[1];
    assert_int_equal(choose(&s, &w), 1);
    s.disks[1].problem = "it burns";
    assert_int_equal(choose(&s, &w), 0);
    deinit(&s);
}

static void a_disk_that_is_closed_or_leaving_gets_nothing(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    s.rules[0].is_closed = true;
    assert_int_equal(choose_for(&s, gib), 1);
    s.disks[1].is_leaving = true;
    assert_int_equal(choose_for(&s, gib), 2);
    s.disks[2].rule = NULL; // no section
    assert_int_equal(choose_for(&s, gib), 2);
    s.disks[2].is_leaving = true;
    assert_int_equal(choose_for(&s, gib), -1);
    deinit(&s);
}

static void a_disk_for_certain_users_is_theirs_alone_and_they_have_no_other(void **state)
{
    static char some[] = "bob alice", number[] = "\t+1000  carol", others[] = "bob +10000 alic alicee";
    struct scene s;

    (void)state;
    init(&s);
    s.rules[1].users = some;
    assert_int_equal(choose_for(&s, gib), 1);
    s.rules[2].users = number;
    s.disks[2].space.available += 1;
    assert_int_equal(choose_for(&s, gib), 2);
    s.rules[1].users = s.rules[2].users = others;
    assert_int_equal(choose_for(&s, gib), 0);
    s.rules[0].users = others;
    assert_int_equal(choose_for(&s, gib), -1);
    deinit(&s);
}

static void small_regions_leave_a_disk_for_large_ones_alone_unless_there_is_no_other(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    s.rules[0].min_bytes = (struct config_value){.kind = CONFIG_NUMBER, .number = gib};
    assert_int_equal(choose_for(&s, gib - 1), 1);
    assert_int_equal(choose_for(&s, gib), 0);
    s.rules[1].min_bytes = s.rules[2].min_bytes = s.rules[0].min_bytes;
    assert_int_equal(choose_for(&s, 0), 0);
    deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_goes_where_most_is_free),
        TEST(a_file_system_with_several_spill_directories_keeps_the_largest_of_their_keep_free),
        TEST(bytes_that_are_granted_and_not_yet_written_are_not_free),
        TEST(a_sparse_region_takes_what_is_not_written_of_it),
        TEST(a_disk_with_a_problem_comes_last),
        TEST(disks_that_have_refused_are_not_asked_again),
        TEST(the_disk_of_a_clones_source_is_preferred),
        TEST(a_disk_that_is_closed_or_leaving_gets_nothing),
        TEST(a_disk_for_certain_users_is_theirs_alone_and_they_have_no_other),
        TEST(small_regions_leave_a_disk_for_large_ones_alone_unless_there_is_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
