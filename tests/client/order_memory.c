// How much memory a sort counts on: what the machine has available, or what the tightest control group leaves.
#include "client/order/memory.h"
#include "tests/lib/fake_proc.h"

static void put_available(struct tree *t, unsigned mib)
{
    put(t, "/proc/meminfo", "MemTotal: 99999999 kB\nMemFree: 12 kB\nMemAvailable: %8u kB\nBuffers: 1 kB\n", mib * 1024);
}

static void without_a_limit_what_the_machine_has_available_counts(void **state)
{
    WITH_TREE(t);
    put_available(&t, 3000);
    assert_int_equal(order_memory(t.dir), 3000 * MIB);
    tree_end(&t);
}

static void the_tighter_of_group_and_machine_counts(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/job");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 100, 50, 0);
    put_available(&t, 3000);
    assert_int_equal(order_memory(t.dir), 452 * MIB);
    put_available(&t, 300);
    assert_int_equal(order_memory(t.dir), 300 * MIB);
    tree_end(&t);
}

static void where_nothing_is_known_there_is_no_limit(void **state)
{
    WITH_TREE(t);
    assert_true(order_memory(t.dir) == UINT64_MAX);
    put(&t, "/proc/meminfo", "MemTotal: 5 kB\n");
    assert_true(order_memory(t.dir) == UINT64_MAX);
    put(&t, "/proc/meminfo", "MemAvailable: 99999999999999999999 kB\n");
    assert_true(order_memory(t.dir) == UINT64_MAX);
    tree_end(&t);
}

static void there_is_a_processor_and_no_more_than_asked_for(void **state)
{
    (void)state;
    assert_int_equal(order_processors(1), 1);
    assert_true(order_processors(8) >= 1 && order_processors(8) <= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_limit_what_the_machine_has_available_counts),
        TEST(the_tighter_of_group_and_machine_counts),
        TEST(where_nothing_is_known_there_is_no_limit),
        TEST(there_is_a_processor_and_no_more_than_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
