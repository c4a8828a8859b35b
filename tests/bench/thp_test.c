// The setting of large pages is put back at the end of whoever changed it, after SIGKILL too.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/bench/thp.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

static char file[256];

static void write_setting(const char *text)
{
    char dir[128];
    FILE *f;

    if (!*file) {
        scratch_make_dir(dir, sizeof dir);
        snprintf(file, sizeof file, "%s/enabled", dir);
    }
    f = fopen(file, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static bool setting_is(const char *text)
{
    char *now = scratch_read_file(file);
    bool is = now && !strcmp(now, text);

    free(now);
    return is;
}

static bool is_back(void *data)
{
    return setting_is(data);
}

static void the_setting_is_changed_and_put_back(void **state)
{
    struct thp t;

    (void)state;
    write_setting("always [madvise] never\n");
    assert_int_equal(thp_set(&t, file, "never"), 0);
    assert_true(setting_is("never"));
    thp_restore(&t);
    assert_true(setting_is("madvise"));
    thp_restore(&t);
    assert_int_equal(t.guard, -1);
}

static void the_setting_is_put_back_after_a_kill(void **state)
{
    int ends[2];
    char byte;
    pid_t pid;

    (void)state;
    write_setting("[always] madvise never\n");
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct thp t;

        if (thp_set(&t, file, "never") == 0 && write(ends[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_true(setting_is("never"));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    test_wait_until(is_back, (void *)"always", 60, "the setting is back");
    close(ends[0]);
    close(ends[1]);
}

static void without_the_file_nothing_is_changed(void **state)
{
    struct thp t;

    (void)state;
    assert_int_equal(thp_set(&t, "/nonexistent/enabled", "never"), -ENOENT);
    assert_int_equal(t.guard, -1);
    thp_restore(&t);
}

static void a_file_without_a_mode_is_refused(void **state)
{
    struct thp t;
    char text[128];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    write_setting(text);
    assert_int_equal(thp_set(&t, file, "never"), -EINVAL);
    assert_true(setting_is(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_setting_is_changed_and_put_back),
        TEST(the_setting_is_put_back_after_a_kill),
        TEST(without_the_file_nothing_is_changed),
        TEST(a_file_without_a_mode_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
