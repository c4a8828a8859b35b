// Limits of control groups, read from made-up trees: v1, v2, both, nested, seen through namespaces and bind mounts.
#include "tests/lib/fake_proc.h"

static void under_a_v1_limit_clean_cache_is_room(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/job");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 100, 50, 0);
    expect(&t, 302 * MIB, 452 * MIB);
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 512, 440, 300, 200, 0);
    expect(&t, 0, 440 * MIB);
    tree_end(&t);
}

static void the_tightest_of_nested_v1_limits_counts(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/a/b/c");
    put_v1(&t, "/sys/fs/cgroup/memory", 0, 9000, 8000, 100, 100, 0);
    put_v1(&t, "/sys/fs/cgroup/memory/a", 2000, 100, 50, 10, 0, 2000);
    put_v1(&t, "/sys/fs/cgroup/memory/a/b", 300, 100, 50, 10, 0, 300);
    put_v1(&t, "/sys/fs/cgroup/memory/a/b/c", 600, 60, 50, 10, 0, 300);
    expect(&t, 240 * MIB, 250 * MIB);
    // Others fill the uppermost.
    put_v1(&t, "/sys/fs/cgroup/memory/a", 2000, 1900, 50, 10, 0, 2000);
    expect_after_a_search(&t, 140 * MIB, 150 * MIB);
    put_v1(&t, "/sys/fs/cgroup/memory/a/b/c", 80, 60, 50, 10, 0, 80);
    expect_after_a_search(&t, 60 * MIB, 70 * MIB);
    tree_end(&t);
}

static void a_v1_limit_above_what_can_be_seen_counts(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/");
    put_v1(&t, "/sys/fs/cgroup/memory", 0, 100, 80, 10, 0, 256);
    expect(&t, 226 * MIB, 236 * MIB);
    tree_end(&t);
}

static void a_v1_group_without_a_limit_says_nothing(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/job");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 0, 500, 440, 100, 50, 0);
    expect(&t, NOTHING_SAID);
    tree_end(&t);
}

static void a_limit_that_is_set_later_is_seen(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/job");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 0, 500, 440, 100, 50, 0);
    expect(&t, NOTHING_SAID);
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 100, 50, 512);
    expect_after_a_search(&t, 302 * MIB, 452 * MIB);
    tree_end(&t);
}

static void under_a_v2_limit_clean_cache_is_room(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, NULL, "/");
    put(&t, "/proc/self/cgroup", "0::/job\n");
    put_v2(&t, "/sys/fs/cgroup/unified/job", "1073741824", "max", 534, 500, 30, 5);
    expect(&t, 965 * MIB, 1000 * MIB);
    put_v2(&t, "/sys/fs/cgroup/unified/job", "1073741824", "max", 534, 500, 30, 105);
    expect(&t, 865 * MIB, 1000 * MIB);
    tree_end(&t);
}

static void of_memory_max_and_high_the_lower_counts(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, NULL, "/");
    put(&t, "/proc/self/cgroup", "0::/job\n");
    put_v2(&t, "/sys/fs/cgroup/unified/job", "1073741824", "536870912", 110, 50, 30, 5);
    expect(&t, 427 * MIB, 462 * MIB);
    put_v2(&t, "/sys/fs/cgroup/unified/job", "268435456", "536870912", 110, 50, 30, 5);
    expect_after_a_search(&t, 171 * MIB, 206 * MIB);
    put_v2(&t, "/sys/fs/cgroup/unified/job", "max", "max", 110, 50, 30, 5);
    expect_after_a_search(&t, NOTHING_SAID);
    tree_end(&t);
}

static void the_tightest_of_nested_v2_limits_counts(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, NULL, "/");
    put(&t, "/proc/self/cgroup", "0::/a/b\n");
    put(&t, "/sys/fs/cgroup/unified/memory.stat", "inactive_file 1\nactive_file 1\n");
    put_v2(&t, "/sys/fs/cgroup/unified/a", "268435456", "max", 110, 50, 30, 5);
    put_v2(&t, "/sys/fs/cgroup/unified/a/b", "max", "max", 110, 50, 30, 5);
    expect(&t, 171 * MIB, 206 * MIB);
    tree_end(&t);
}

static void in_a_hybrid_the_controller_of_v1_counts(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", "/");
    put(&t, "/proc/self/cgroup", "4:memory:/job\n1:cpu:/\n0::/session\n");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 100, 50, 0);
    put(&t, "/sys/fs/cgroup/unified/session/cgroup.controllers", "hugetlb\n");
    expect(&t, 302 * MIB, 452 * MIB);
    tree_end(&t);
}

static void in_a_hybrid_the_controller_may_be_of_v2(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", "/");
    put(&t, "/proc/self/cgroup", "1:cpu:/job\n0::/session\n");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 100, 50, 0, 0, 0, 0);
    put_v2(&t, "/sys/fs/cgroup/unified/session", "268435456", "max", 110, 50, 30, 5);
    expect(&t, 171 * MIB, 206 * MIB);
    tree_end(&t);
}

static void a_bind_mount_shows_a_part_of_the_tree(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/docker/4f2", NULL);
    put_v1_group(&t, "/docker/4f2");
    put_v1(&t, "/sys/fs/cgroup/memory", 512, 500, 440, 100, 50, 0);
    expect(&t, 302 * MIB, 452 * MIB);
    put_v1_group(&t, "/docker/4f2/inner");
    put_v1(&t, "/sys/fs/cgroup/memory/inner", 256, 200, 150, 0, 0, 0);
    expect_after_a_search(&t, 206 * MIB, 206 * MIB);
    // Groups that are not below it.
    put_v1(&t, "/sys/fs/cgroup/memoryb", 256, 200, 150, 0, 0, 0);
    put_v1_group(&t, "/docker/4f2b");
    expect_after_a_search(&t, NOTHING_SAID);
    put_v1_group(&t, "/");
    expect_after_a_search(&t, NOTHING_SAID);
    tree_end(&t);
}

static void a_group_above_the_namespace_is_not_seen(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1(&t, "/sys/fs/cgroup/memory", 512, 500, 440, 100, 50, 0);
    put_v1(&t, "/sys/fs/cgroup/other", 512, 500, 440, 100, 50, 0);
    put_v1_group(&t, "/../other");
    expect(&t, NOTHING_SAID);
    put_v1_group(&t, "/");
    expect_after_a_search(&t, 302 * MIB, 452 * MIB);
    tree_end(&t);
}

static void of_several_mounts_the_one_that_shows_most_is_taken(void **state)
{
    WITH_TREE(t);
    put(&t, "/proc/self/mountinfo",
        "1 2 0:32 /a/b /mnt/low rw - cgroup cgroup rw,memory\n"
        "1 2 0:32 / /mnt/with\\040blank\\134 rw - cgroup cgroup rw,memory\n"
        "1 2 0:32 /a /mnt/middle rw - cgroup cgroup rw,memory\n");
    put_v1_group(&t, "/a/b");
    put_v1(&t, "/mnt/low", 0, 100, 50, 0, 0, 0);
    put_v1(&t, "/mnt/middle", 0, 100, 50, 0, 0, 0);
    put_v1(&t, "/mnt/with blank\\/a", 512, 500, 440, 100, 50, 0);
    expect(&t, 302 * MIB, 452 * MIB);
    tree_end(&t);
}

static void a_process_that_is_moved_is_followed(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/a");
    put_v1(&t, "/sys/fs/cgroup/memory/a", 512, 500, 440, 100, 50, 0);
    put_v1(&t, "/sys/fs/cgroup/memory/b", 256, 200, 150, 0, 0, 0);
    expect(&t, 302 * MIB, 452 * MIB);
    put_v1_group(&t, "/b");
    expect(&t, 302 * MIB, 452 * MIB);
    expect_after_a_search(&t, 206 * MIB, 206 * MIB);
    // A group that is gone is noticed at once.
    put_v1_group(&t, "/a");
    take(&t, "/sys/fs/cgroup/memory/b");
    expect(&t, NOTHING_SAID);
    expect(&t, 302 * MIB, 452 * MIB);
    tree_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(under_a_v1_limit_clean_cache_is_room),
        TEST(the_tightest_of_nested_v1_limits_counts),
        TEST(a_v1_limit_above_what_can_be_seen_counts),
        TEST(a_v1_group_without_a_limit_says_nothing),
        TEST(a_limit_that_is_set_later_is_seen),
        TEST(under_a_v2_limit_clean_cache_is_room),
        TEST(of_memory_max_and_high_the_lower_counts),
        TEST(the_tightest_of_nested_v2_limits_counts),
        TEST(in_a_hybrid_the_controller_of_v1_counts),
        TEST(in_a_hybrid_the_controller_may_be_of_v2),
        TEST(a_bind_mount_shows_a_part_of_the_tree),
        TEST(a_group_above_the_namespace_is_not_seen),
        TEST(of_several_mounts_the_one_that_shows_most_is_taken),
        TEST(a_process_that_is_moved_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
