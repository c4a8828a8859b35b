// The daemon's own files in the spill directory, where something else lies at their names.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "daemon/store/lock.h"
#include "daemon/store/small_file.h"
#include "daemon/store/store.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { SIZE = 2 << 20 };

static const char *const names[] = {".lock", ".reserve"};
static char dir[128], region[200]; // region: the path of its file

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "%s/test-own.XXXXXX", test_base_dir());
    if (!mkdtemp(dir))
        return -1;
    return test_setup(state);
}

static int remove_dir(void **state)
{
    scratch_remove_tree(dir);
    return test_teardown(state);
}

static void shell(const char *format, ...)
{
    char command[1024];
    int at = snprintf(command, sizeof command, "cd %s && ", dir);
    va_list args;

    va_start(args, format);
    vsnprintf(command + at, sizeof command - (size_t)at, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static struct store *open_store(void)
{
    struct store *s = NULL;
    char *error = NULL;

    if (store_open(dir, false, &file_ops_system, &s, &error) < 0)
        fail_msg("%s", error);
    return s;
}

// A region of SIZE bytes with content, of which the store that is closed again knows.
static void make_region(void)
{
    struct record record = {.owner_uid = 1000, .granted = SIZE};
    char handle[HANDLE_TEXT_LENGTH + 1];
    struct store *s = open_store();
    int fd;

    assert_int_equal(handle_random(&record.handle), 0);
    assert_int_equal(store_create(s, 1000, &fd), 0);
    assert_int_equal(spillfile_resize(&file_ops_system, fd, 0, SIZE, false), 0);
    assert_int_equal(pwrite(fd, "content", 7, 0), 7);
    assert_int_equal(store_link(s, fd, &record), 0);
    close(fd);
    store_close(s);
    handle_format(&record.handle, handle);
    snprintf(region, sizeof region, "%s/1000/%s", dir, handle);
}

static void expect_whole(const char *path, nlink_t n_names)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[7];
    struct stat st;

    assert_return_code(fd, errno);
    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(st.st_size, SIZE);
    assert_int_equal(st.st_nlink, n_names);
    assert_int_equal(pread(fd, text, sizeof text, 0), sizeof text);
    assert_memory_equal(text, "content", sizeof text);
    assert_true(fgetxattr(fd, "user.diskalloc.looked", NULL, 0) < 0);
    close(fd);
}

// All that the daemon does to its own files.
static void use_own_files(struct store *s)
{
    struct store_health health;

    for (int i = 0; i < 2; i++) {
        store_look(s, &health);
        assert_string_equal(health.problem, "");
        store_lock_lay_ghosts(store_lock(s));
        store_free_reserve(s);
        store_make_reserve(s);
    }
}

static bool is_regular(const char *name)
{
    char path[200];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static void a_second_name_of_a_regions_file_is_replaced_and_the_region_stays_whole(void **state)
{
    struct store *s;

    (void)state;
    make_region();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        shell("ln -f %s %s", region, names[i]);
        s = open_store();
        use_own_files(s);
        assert_true(is_regular(names[i]));
        assert_false(store_lock(s)->is_haunted);
        expect_whole(region, 1);
        store_close(s);
    }
}

// A client that has the region mapped may hold any lock on its file, which says nothing about another daemon.
static void a_lock_on_a_regions_file_is_not_taken_for_a_daemons(void **state)
{
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd;

    (void)state;
    make_region();
    shell("ln -f %s .lock", region);
    fd = open(region, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    assert_return_code(fcntl(fd, F_OFD_SETLK, &all), errno);
    store_close(open_store());
    close(fd);
    expect_whole(region, 1);
}

static void a_name_that_is_taken_while_the_daemon_runs_does_no_harm(void **state)
{
    struct store_health health;
    struct store *s;

    (void)state;
    make_region();
    s = open_store();
    shell("ln -f %s .reserve", region);
    store_look(s, &health);
    assert_string_equal(health.problem, "");
    expect_whole(region, 2);
    shell("rm .reserve && ln -s /nowhere .reserve");
    use_own_files(s);
    store_free_reserve(s);
    shell("ln -f %s .reserve", region);
    store_make_reserve(s);
    use_own_files(s);
    expect_whole(region, 1);
    store_close(s);
}

static void links_pipes_and_empty_directories_are_replaced(void **state)
{
    static const char *const makers[] = {"ln -s /dev/null", "ln -s notes", "mkfifo", "mkdir"};
    struct store *s;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; k < sizeof makers / sizeof *makers; k++) {
            shell("rm -f %s && %s %s", names[i], makers[k], names[i]);
            s = open_store();
            assert_true(is_regular(names[i]));
            use_own_files(s);
            store_close(s);
        }
    shell("test ! -e notes");
}

static void expect_refused(void)
{
    struct store *s = NULL;
    char *text = NULL;

    assert_int_equal(store_open(dir, false, &file_ops_system, &s, &text), -EINVAL);
    assert_non_null(text);
    assert_non_null(strstr(text, "its lock file .lock is not one that diskallocd has made"));
    assert_non_null(strstr(text, "move it out of the directory"));
    free(text);
}

static void a_lock_file_that_would_be_lost_is_refused_with_a_remedy(void **state)
{
    char path[200];

    (void)state;
    make_region();
    shell("rm .lock && mkdir -p .lock/full");
    expect_refused();
    shell("test -d .lock/full && rmdir .lock/full .lock && mv %s .lock", region);
    expect_refused();
    snprintf(path, sizeof path, "%s/.lock", dir);
    expect_whole(path, 1);
    shell("mv .lock moved");
    store_close(open_store());
}

static void a_reserve_that_would_be_lost_is_left_alone_and_the_daemon_works_without(void **state)
{
    char path[200];
    struct store *s;

    (void)state;
    make_region();
    shell("rm -f .reserve && mkdir -p .reserve/full");
    s = open_store();
    use_own_files(s);
    shell("test -d .reserve/full");
    store_close(s);
    shell("rmdir .reserve/full .reserve && mv %s .reserve", region);
    s = open_store();
    store_close(s);
    snprintf(path, sizeof path, "%s/.reserve", dir);
    expect_whole(path, 1);
}

static void a_lock_file_with_a_second_name_keeps_a_second_daemon_out(void **state)
{
    struct store *s = open_store();
    pid_t parent = getpid(), child;
    int status;

    (void)state;
    shell("ln .lock copy");
    child = fork();
    if (child == 0) {
        struct store *second = NULL;
        char *error = NULL, pid[32];

        snprintf(pid, sizeof pid, "pid %d", (int)parent);
        _exit(store_open(dir, false, &file_ops_system, &second, &error) == -EBUSY && strstr(error, pid) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(s);
}

// A copy made of hard links: what the last daemon wrote into its lock file still holds.
static void a_haunted_lock_file_with_a_second_name_stays_haunted(void **state)
{
    struct store *s = open_store();

    (void)state;
    store_lock_leave_behind(store_lock(s));
    store_close(s);
    shell("ln .lock copy");
    s = open_store();
    assert_true(store_lock(s)->is_haunted);
    assert_true(is_regular(".lock"));
    store_lock_lay_ghosts(store_lock(s));
    assert_false(store_lock(s)->is_haunted);
    shell("test -s copy && test ! -s .lock");
    store_close(s);
}

static void small_files_are_read_only_where_they_are_files(void **state)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text = NULL;

    (void)state;
    assert_return_code(fd, errno);
    make_region();
    shell("mkdir d && mkfifo p && ln -s d l && ln %s r && echo text >f", region);
    assert_int_equal(small_file_read(fd, "d", &text), -EISDIR);
    assert_int_equal(small_file_read(fd, "p", &text), -EINVAL);
    assert_int_equal(small_file_read(fd, "l", &text), -ELOOP);
    assert_int_equal(small_file_read(fd, "r", &text), -EINVAL);
    assert_int_equal(small_file_read(fd, "f", &text), 0);
    assert_string_equal(text, "text\n");
    free(text);
    close(fd);
}

static void small_files_are_written_whatever_lies_there_and_nothing_else_changes(void **state)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text = NULL;

    (void)state;
    assert_return_code(fd, errno);
    make_region();
    shell("mkdir a b.new && ln %s c && ln %s d.new && ln -s %s e && mkfifo f.new", region, region, region);
    for (const char *name = "abcdef"; *name; name++) {
        char one[2] = {*name};

        assert_int_equal(small_file_write(fd, one, "new"), 0);
        assert_int_equal(small_file_read(fd, one, &text), 0);
        assert_string_equal(text, "new");
        free(text);
        assert_true(is_regular(one));
    }
    expect_whole(region, 1);
    shell("mkdir -p full/kept");
    assert_true(small_file_write(fd, "full", "new") < 0);
    shell("test -d full/kept && test ! -e full.new");
    close(fd);
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_DIRECTORY(a_second_name_of_a_regions_file_is_replaced_and_the_region_stays_whole),
        IN_A_DIRECTORY(a_lock_on_a_regions_file_is_not_taken_for_a_daemons),
        IN_A_DIRECTORY(a_name_that_is_taken_while_the_daemon_runs_does_no_harm),
        IN_A_DIRECTORY(links_pipes_and_empty_directories_are_replaced),
        IN_A_DIRECTORY(a_lock_file_that_would_be_lost_is_refused_with_a_remedy),
        IN_A_DIRECTORY(a_reserve_that_would_be_lost_is_left_alone_and_the_daemon_works_without),
        IN_A_DIRECTORY(a_lock_file_with_a_second_name_keeps_a_second_daemon_out),
        IN_A_DIRECTORY(a_haunted_lock_file_with_a_second_name_stays_haunted),
        IN_A_DIRECTORY(small_files_are_read_only_where_they_are_files),
        IN_A_DIRECTORY(small_files_are_written_whatever_lies_there_and_nothing_else_changes),
    };

    return cmocka_run_group_tests_name("own-files", tests, NULL, NULL);
}
