// What a commit of a vector of strings has is kept: nothing writes over its bytes, and no reader sees other strings in
// their places.
#include "client/strvec/strvec.h"
#include "tests/lib/strings.h"

#include <signal.h>
#include <sys/wait.h>

struct crash {
    struct test_backend *b;
    void (*change)(struct diskalloc_strvec *v);
};

static void change_and_die(void *data)
{
    struct crash *c = data;
    struct diskalloc_strvec v;

    open_strings(c->b, &v, "kept");
    c->change(&v);
    raise(SIGKILL);
}

static void make_three(struct test_backend *b)
{
    struct diskalloc_strvec v;

    open_strings(b, &v, "kept");
    push_text(&v, "cc, a string of some length");
    push_text(&v, "b, another string of some length");
    push_text(&v, "aaa, the last of the three strings");
    diskalloc_strvec_deinit(&v);
}

static void expect_after(struct test_backend *b, void (*change)(struct diskalloc_strvec *v), const char *first,
                         const char *second, const char *third)
{
    struct crash c = {b, change};
    struct diskalloc_strvec v;

    make_three(b);
    assert_true(WIFSIGNALED(test_in_child(change_and_die, &c, (uid_t)-1)));
    assert_int_equal(diskalloc_strvec_open(&v, b->da, "kept", 0), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 3);
    expect_text(&v, 0, first);
    expect_text(&v, 1, second);
    expect_text(&v, 2, third);
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "kept");
}

static void pop_and_set(struct diskalloc_strvec *v)
{
    assert_int_equal(diskalloc_strvec_pop(v), 0);
    assert_int_equal(diskalloc_strvec_set(v, 0, "written behind the others", 25), 0);
}

static void push_pop_and_set(struct diskalloc_strvec *v)
{
    push_text(v, "not committed");
    pop_and_set(v);
    pop_and_set(v);
}

static void truncate_all_and_push(struct diskalloc_strvec *v)
{
    assert_int_equal(diskalloc_strvec_truncate(v, 0), 0);
    push_text(v, "a string that is longer than the first two of the three strings together");
}

static void truncate_and_append(struct diskalloc_strvec *v)
{
    const uint64_t ends[] = {5, 12};

    assert_int_equal(diskalloc_strvec_truncate(v, 1), 0);
    assert_int_equal(diskalloc_strvec_append(v, "fivesevenup", ends, 0), 0);
    assert_int_equal(diskalloc_strvec_append(v, "other.another", ends, 2), 0);
}

static void the_bytes_of_a_commit_survive_a_kill(struct test_backend *b)
{
    static const char third[] = "aaa, the last of the three strings", second[] = "b, another string of some length";

    expect_after(b, pop_and_set, "written behind the others", second, third);
    expect_after(b, push_pop_and_set, "written behind the others", second, third);
    expect_after(b, truncate_all_and_push, "a string that is longer than the first two of the three strings together",
                 second, third);
    expect_after(b, truncate_and_append, "cc, a string of some length", "other", ".anothe");
}
FOR_EACH_BACKEND(the_bytes_of_a_commit_survive_a_kill)

// A process that is killed within a set has written some bytes: they must be others than those of the old string.
static void a_set_leaves_the_old_bytes_alone(struct test_backend *b)
{
    static const char first[] = "cc, a string of some length";
    struct diskalloc_strvec v;
    const char *before;

    make_three(b);
    open_strings(b, &v, "kept");
    before = diskalloc_strvec_get(&v, 0, NULL);
    assert_non_null(before);
    assert_int_equal(diskalloc_strvec_set(&v, 0, "short", 5), 0);
    expect_text(&v, 0, "short");
    assert_memory_equal(before, first, sizeof first - 1);
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "kept");
}
FOR_EACH_BACKEND(a_set_leaves_the_old_bytes_alone)

static void a_reader_does_not_get_the_string_that_was_sorted_into_a_place(struct test_backend *b)
{
    struct diskalloc_strvec v, reader;
    struct diskalloc_error_info info;

    make_three(b);
    open_strings(b, &v, "kept");
    assert_int_equal(diskalloc_strvec_open(&reader, b->da, "kept", DISKALLOC_REGION_READ_ONLY), 0);
    expect_text(&reader, 0, "cc, a string of some length");
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_null(diskalloc_strvec_get(&reader, i, NULL));
        assert_int_equal(diskalloc_last_error_info(&info, sizeof info), 0);
        assert_int_equal(info.code, -ESTALE);
    }
    diskalloc_strvec_deinit(&reader);
    assert_int_equal(diskalloc_strvec_open(&reader, b->da, "kept", DISKALLOC_REGION_READ_ONLY), 0);
    expect_text(&reader, 0, "aaa, the last of the three strings");
    diskalloc_strvec_deinit(&reader);
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "kept");
}
FOR_EACH_BACKEND(a_reader_does_not_get_the_string_that_was_sorted_into_a_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(the_bytes_of_a_commit_survive_a_kill),
        EACH_BACKEND(a_set_leaves_the_old_bytes_alone),
        EACH_BACKEND(a_reader_does_not_get_the_string_that_was_sorted_into_a_place),
    };

    return cmocka_run_group_tests_name("strvec_kept", tests, NULL, NULL);
}
