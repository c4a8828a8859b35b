// The spill directory: which directories are accepted, and which foreign files may lie in one.
#include "daemon/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "daemon/store/advice.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

static char dir[128];

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "%s/test-store.XXXXXX", test_base_dir());
    if (!mkdtemp(dir))
        return -1;
    return test_setup(state);
}

static int remove_dir(void **state)
{
    char command[400];

    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", dir, dir);
    return system(command) != 0 ? -1 : test_teardown(state);
}

static struct store *open_store(void)
{
    struct store *s = NULL;
    char *error = NULL;

    if (store_open(dir, false, &file_ops_system, &s, &error) < 0)
        fail_msg("%s", error);
    return s;
}

static void expect_refused(const char *path, bool require_mount, int error, const char *sentence)
{
    struct store *s = NULL;
    char *text = NULL;

    assert_int_equal(store_open(path, require_mount, &file_ops_system, &s, &text), error);
    assert_non_null(text);
    if (!strstr(text, sentence) || !strstr(text, path))
        fail_msg("not the sentence: %s", text);
    free(text);
}

// Under systemd the user may see the directory, and the service not.
static void a_directory_that_systemd_hides_is_refused_with_that_reason(void **state)
{
    static const char hidden[] = "; systemd hides /home, /root, /tmp and /var/tmp from the service: choose another";
    char pid[16], advice[STORE_ADVICE_MAX];

    (void)state;
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("SYSTEMD_EXEC_PID", pid, 1);
    expect_refused("/home/nobody-has-this/spill", false, -ENOENT, hidden);
    expect_refused("/var/tmp/nobody-has-this", false, -ENOENT, hidden);
    expect_refused("/homeless-nobody-has-this", false, -ENOENT, "; mount its disk, or make it: ");
    assert_non_null(strstr(store_advice(-EROFS, "/srv/spill", advice), "spill-mount.conf"));
    assert_string_equal(store_advice(-EIO, "/home/spill", advice), "");
    unsetenv("SYSTEMD_EXEC_PID");
    assert_string_equal(store_advice(-EROFS, "/srv/spill", advice), "");
    expect_refused("/home/nobody-has-this/spill", false, -ENOENT, "; mount its disk, or make it: ");
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

static int count(void *data, struct store_found *region)
{
    uint64_t *sum = data;

    sum[0]++;
    sum[1] += region->size - region->discarded.sum;
    return 0;
}

static void make_region(struct store *s, uid_t uid, uint64_t size, struct record *ret)
{
    int fd;

    *ret = (struct record){.owner_uid = uid};
    assert_int_equal(handle_random(&ret->handle), 0);
    assert_int_equal(store_create(s, uid, &fd), 0);
    ret->granted = size;
    assert_int_equal(spillfile_resize(&file_ops_system, fd, 0, size, false), 0);
    assert_int_equal(store_link(s, fd, ret), 0);
    close(fd);
}

static void a_directory_that_is_not_there_or_not_ours_alone_is_refused(void **state)
{
    char path[200];

    (void)state;
    snprintf(path, sizeof path, "%s/missing", dir);
    expect_refused(path, false, -ENOENT, "No such file");
    expect_refused(path, false, -ENOENT, "; mount its disk, or make it: install -d -m 700 -o ");
    snprintf(path, sizeof path, "%s/file", dir);
    shell("touch file");
    expect_refused(path, false, -ENOTDIR, "Not a directory");
    snprintf(path, sizeof path, "%s/shared", dir);
    shell("mkdir -m 1777 shared");
    expect_refused(path, false, -EPERM, "others may write");
    expect_refused(path, false, -EPERM, "; give it to the daemon's user: chown ");
    expect_refused(dir, true, -ENOTDIR, "no mount point");
}

static void a_second_daemon_is_refused_and_told_the_pid_of_the_first(void **state)
{
    struct store *s = open_store();
    pid_t parent = getpid(), child = fork();
    int status;

    (void)state;
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

static void what_was_made_is_found_again(void **state)
{
    struct store *s = open_store();
    uint64_t sum[2] = {0};
    struct store_left left;
    struct record a, b;

    (void)state;
    make_region(s, 1000, 5000, &a);
    make_region(s, 2000, 0, &b);
    assert_int_equal(store_scan(s, count, sum, &left), 0);
    assert_int_equal(sum[0], 2);
    assert_int_equal(sum[1], 5000);
    assert_int_equal(left.foreign, 0);
    assert_int_equal(store_unlink(s, 1000, &a.handle), 0);
    assert_int_equal(store_unlink(s, 2000, &b.handle), 0);
    store_close(s);
    // Empty directories of users go with the daemon.
    shell("test ! -e 1000 && test ! -e 2000");
}

static void whatever_else_lies_there_is_left_alone_and_counted(void **state)
{
    struct store *s = open_store();
    uint64_t sum[2] = {0};
    struct store_left left;
    char handle[HANDLE_TEXT_LENGTH + 1];
    struct record r;

    (void)state;
    make_region(s, 1000, 4096, &r);
    handle_format(&r.handle, handle);
    shell("mkdir lost+found README.d 0123 4294967295 && touch notes 3000");              // 5 foreign
    shell("cd 1000 && touch notes && mkfifo 00000000000000000000000000000001");          // 2
    shell("cd 1000 && ln -s /etc/passwd 00000000000000000000000000000002");              // 1
    shell("cd 1000 && mkdir 00000000000000000000000000000003");                          // 1
    shell("cd 1000 && echo content > 00000000000000000000000000000004");                 // 1: no record
    shell("cd 1000 && cp --preserve=xattr %s 00000000000000000000000000000005", handle); // 1: another's record
    shell("mkdir 1001 && cp --preserve=xattr 1000/%s 1001/%s", handle, handle);          // 1: another user's
    shell("ln -s 1000 1002");                                                            // 1
    assert_int_equal(store_scan(s, count, sum, &left), 0);
    assert_int_equal(sum[0], 1);
    assert_int_equal(left.foreign, 13);
    shell("test -d lost+found && test -p 1000/00000000000000000000000000000001 && grep -q content "
          "1000/00000000000000000000000000000004");
    store_close(s);
}

static void make_many(struct store *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct record r = {.owner_uid = 1000, .granted = 4096};
        int fd;

        assert_int_equal(handle_random(&r.handle), 0);
        assert_int_equal(store_create(s, 1000, &fd), 0);
        assert_int_equal(file_ops_system.allocate(fd, 0, 0, 4096), 0);
        assert_int_equal(store_link(s, fd, &r), 0);
        close(fd);
    }
}

// So many that threads read ahead.
static void each_of_very_many_files_is_found_once(void **state)
{
    struct store *s = open_store();
    uint64_t sum[2] = {0};
    struct store_left left;

    (void)state;
    make_many(s, 700);
    shell("cd 1000 && for i in 1 2 3 4 5 6 7 8 9; do echo content > 0000000000000000000000000000000$i; done");
    shell("cd 1000 && for i in 1 2 3 4 5 6 7 8 9; do touch 0000000000000000000000000000001$i; done"); // half-made
    assert_int_equal(store_scan(s, count, sum, &left), 0);
    assert_int_equal(sum[0], 700);
    assert_int_equal(sum[1], 700 * 4096);
    assert_int_equal(left.foreign, 9);
    assert_int_equal(test_count_files(dir), 709);
    store_close(s);
}

static int stop_at_the_tenth(void *data, struct store_found *region)
{
    (void)region;
    return ++*(unsigned *)data == 10 ? -ENOMEM : 0;
}

static void a_scan_that_is_given_up_ends_at_once(void **state)
{
    struct store *s = open_store();
    struct store_left left;
    unsigned n = 0;

    (void)state;
    make_many(s, 700);
    assert_int_equal(store_scan(s, stop_at_the_tenth, &n, &left), -ENOMEM);
    assert_int_equal(n, 10);
    store_close(s);
}

static void records_that_are_damaged_or_newer_are_left_alone(void **state)
{
    struct store *s = open_store();
    uint64_t sum[2] = {0};
    struct store_left left;
    uint8_t bytes[RECORD_MAX];

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct record r;
        size_t n;
        int fd;

        make_region(s, 1000, 4096, &r);
        n = record_encode(&r, bytes);
        if (kind == 0)
            bytes[40] ^= 1; // a bit
        else if (kind == 1)
            n -= 3; // cut
        else if (kind == 2)
            bytes[4] = RECORD_VERSION + 1;
        else
            n = 0;
        fd = store_open_file(s, 1000, &r.handle, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(fsetxattr(fd, RECORD_XATTR, bytes, n, 0), 0);
        close(fd);
    }
    assert_int_equal(store_scan(s, count, sum, &left), 0);
    assert_int_equal(sum[0], 0);
    assert_int_equal(left.foreign, 4);
    assert_int_equal(test_count_files(dir), 4);
    store_close(s);
}

static int keep(void *data, struct store_found *region)
{
    *(struct store_found *)data = *region;
    region->discarded = (struct ranges){0};
    return 0;
}

// Its lock may be held: nothing waits for that at start.
static void a_file_in_use_is_repaired_after_the_scan(void **state)
{
    struct store *s = open_store();
    struct store_found found = {0};
    struct store_left left;
    struct record r;
    struct stat st;
    int fd;

    (void)state;
    make_region(s, 1000, 4096, &r);
    fd = store_open_file(s, 1000, &r.handle, O_RDWR);
    assert_int_equal(file_ops_system.truncate(fd, 8 << 20), 0);
    assert_int_equal(store_scan(s, keep, &found, &left), 0);
    assert_true(found.needs_repair);
    assert_int_equal(found.size, 4096);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 8 << 20);
    assert_int_equal(store_repair(s, &found), 0);
    assert_false(found.needs_repair);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4096);
    close(fd);
    // A file that nobody uses is repaired at once.
    assert_int_equal(store_scan(s, keep, &found, &left), 0);
    assert_false(found.needs_repair);
    assert_int_equal(store_unlink(s, 1000, &r.handle), 0);
    assert_int_equal(store_repair(s, &found), -ENOENT);
    store_close(s);
}

static void growth_that_was_not_finished_is_undone_at_the_scan(void **state)
{
    struct store *s = open_store();
    uint64_t sum[2] = {0};
    struct store_left left;
    struct record r;
    struct stat st;
    int fd;

    (void)state;
    make_region(s, 1000, 4096, &r);
    fd = store_open_file(s, 1000, &r.handle, O_RDWR);
    assert_int_equal(file_ops_system.allocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8 << 20), 0);
    close(fd);
    assert_int_equal(store_scan(s, count, sum, &left), 0);
    fd = store_open_file(s, 1000, &r.handle, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4096);
    assert_true(st.st_blocks * 512 <= 64 * 1024);
    close(fd);
    store_close(s);
}

static void nothing_is_reached_through_a_link(void **state)
{
    struct store *s = open_store();
    struct record r = {.owner_uid = 1000};
    char handle[HANDLE_TEXT_LENGTH + 1];
    int fd;

    (void)state;
    assert_int_equal(handle_random(&r.handle), 0);
    handle_format(&r.handle, handle);
    shell("mkdir elsewhere && ln -s elsewhere 1000 && touch elsewhere/%s", handle);
    assert_int_equal(store_open_file(s, 1000, &r.handle, O_RDWR), -ELOOP);
    assert_int_equal(store_create(s, 1000, &fd), -ENOTDIR);
    store_close(s);
}

// On an overlay a mapping holds the file below, and the kernel does not see it.
static void a_directory_where_the_kernel_does_not_see_mappings_is_refused(void **state)
{
    char path[300];

    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        skip();
    shell("mkdir lower upper work merged");
    snprintf(path, sizeof path, "cd %s && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged",
             dir);
    if (system(path) != 0)
        skip();
    snprintf(path, sizeof path, "%s/merged", dir);
    {
        struct store *s = NULL;
        char *text = NULL;

        assert_true(store_open(path, false, &file_ops_system, &s, &text) < 0);
        assert_non_null(text);
        assert_true(strstr(text, "does not tell there") || strstr(text, "leases") || strstr(text, "O_TMPFILE"));
        free(text);
    }
    shell("umount merged");
}

static int open_marked(struct store *s, const struct record *record, uint64_t identity, int flags)
{
    int fd = store_open_file(s, record->owner_uid, &record->handle, flags);

    assert_true(fd >= 0);
    assert_int_equal(store_mark(fd, identity), 0);
    return fd;
}

// The kernel forgets a mark with the last mapping of its descriptor.
static void marks_tell_who_uses_a_file(void **state)
{
    enum { ONE = 1, TWO, MANY = 20 };
    const uint64_t last = ((uint64_t)1 << 58) - 2;
    struct store *s = open_store();
    int asker, one, fds[MANY];
    struct record record;
    void *memory;

    (void)state;
    make_region(s, 0, 4096, &record);
    asker = store_open_file(s, 0, &record.handle, O_RDONLY);
    assert_true(asker >= 0);
    assert_int_equal(store_is_alone(asker, ONE), 1);
    assert_int_equal(store_is_alone(asker, 0), 0);        // nobody in particular
    assert_int_equal(store_is_alone(asker, last + 1), 0); // too large to be told from others
    one = open_marked(s, &record, ONE, O_RDWR);
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
    assert_true(memory != MAP_FAILED);
    close(one);
    assert_int_equal(store_is_alone(asker, ONE), 1);
    assert_int_equal(store_is_alone(asker, TWO), 0);
    assert_int_equal(store_is_alone(asker, last), 0);
    munmap(memory, 4096);
    assert_int_equal(store_is_alone(asker, TWO), 1);
    for (int i = 0; i < MANY; i++) {
        fds[i] = open_marked(s, &record, last, O_RDONLY);
        assert_int_equal(store_is_alone(asker, last), i == 0);
        assert_int_equal(store_is_alone(asker, ONE), 0);
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    assert_int_equal(store_is_alone(asker, last), 1);
    one = open_marked(s, &record, 0, O_RDONLY);
    assert_int_equal(store_is_alone(asker, ONE), 0);
    close(one);
    close(asker);
    assert_int_equal(store_unlink(s, 0, &record.handle), 0);
    store_close(s);
}

static void marks_of_several_processes_are_told_from_a_strangers(void **state)
{
    enum { N = 300 };
    struct store *s = open_store();
    uint64_t all[N + 2];
    int asker, fds[N], again, stranger;
    struct record record;

    (void)state;
    make_region(s, 0, 4096, &record);
    asker = store_open_file(s, 0, &record.handle, O_RDONLY);
    assert_true(asker >= 0);
    for (uint64_t i = 0; i < N; i++)
        all[i] = 7 + 3 * i;
    assert_int_equal(store_are_alone(asker, all, N), 1); // nobody is there
    for (int i = 0; i < N; i++)
        fds[i] = open_marked(s, &record, all[(i * 7) % N], i % 2 ? O_RDONLY : O_RDWR);
    assert_int_equal(store_are_alone(asker, all, N), 1);
    assert_int_equal(store_are_alone(asker, all, N - 1), 0);
    assert_int_equal(store_are_alone(asker, all + 1, N - 1), 0);
    // A process has as many marks as attachments; one more is that of a former attachment, whose children live.
    again = open_marked(s, &record, all[5], O_RDONLY);
    assert_int_equal(store_are_alone(asker, all, N), 0);
    memmove(all + 6, all + 5, (N - 5) * sizeof *all);
    assert_int_equal(store_are_alone(asker, all, N + 1), 1);
    close(again);
    assert_int_equal(store_are_alone(asker, all, N + 1), 1); // fewer is fine: it has unmapped
    for (int i = 0; i < 3; i++) {
        stranger = open_marked(s, &record, i == 0 ? 8 : i == 1 ? 0 : all[N] + 100, O_RDONLY);
        assert_int_equal(store_are_alone(asker, all, N + 1), 0);
        close(stranger);
    }
    for (int i = 0; i < N; i++)
        close(fds[i]);
    // Nor is a process ever known that can't be told from others.
    all[0] = 0;
    stranger = open_marked(s, &record, 0, O_RDONLY);
    assert_int_equal(store_are_alone(asker, all, 1), 0);
    close(stranger);
    close(asker);
    assert_int_equal(store_unlink(s, 0, &record.handle), 0);
    store_close(s);
}

// A client can lock whatever it likes: that never hides the mark of another process.
static void locks_of_clients_hide_no_mark(void **state)
{
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    struct store *s = open_store();
    int asker, own, other, late, locker;
    struct record record;

    (void)state;
    make_region(s, 0, 4096, &record);
    asker = store_open_file(s, 0, &record.handle, O_RDONLY);
    locker = store_open_file(s, 0, &record.handle, O_RDONLY);
    assert_true(asker >= 0 && locker >= 0);
    assert_int_equal(fcntl(locker, F_OFD_SETLK, &all), 0);
    own = open_marked(s, &record, 1, O_RDWR);
    other = open_marked(s, &record, 2, O_RDWR);
    assert_int_equal(store_is_alone(asker, 1), 0);
    assert_int_equal(store_is_alone(asker, 2), 0);
    late = open_marked(s, &record, 1, O_RDWR);
    close(locker);
    close(other);
    assert_int_equal(store_is_alone(asker, 1), 0);
    close(own);
    assert_int_equal(store_is_alone(asker, 1), 1); // although all bytes were locked when it came
    close(late);
    close(asker);
    assert_int_equal(store_unlink(s, 0, &record.handle), 0);
    store_close(s);
}

// A reader, who is lying, can't be the one that writes, nor can who has no descriptor.
static void marks_tell_who_may_have_written(void **state)
{
    enum { WRITER = 1, READER, NOBODY };
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    struct store *s = open_store();
    struct record record;
    int asker, writer, reader;

    (void)state;
    make_region(s, 0, 4096, &record);
    asker = store_open_file(s, 0, &record.handle, O_RDONLY);
    writer = open_marked(s, &record, WRITER, O_RDWR);
    reader = open_marked(s, &record, READER, O_RDONLY);
    assert_int_equal(store_may_be_writer(asker, WRITER), 1);
    assert_int_equal(store_may_be_writer(asker, READER), 0);
    assert_int_equal(store_may_be_writer(asker, NOBODY), 0);
    assert_int_equal(store_may_be_writer(asker, 0), 1); // is not told from others
    close(writer);
    assert_int_equal(store_may_be_writer(asker, WRITER), 0);
    // The mark of a writer who came when a reader had locked all is as a reader's: it is believed.
    assert_int_equal(fcntl(reader, F_OFD_SETLK, &all), 0);
    writer = open_marked(s, &record, WRITER, O_RDWR);
    assert_int_equal(store_may_be_writer(asker, WRITER), 1);
    close(writer);
    close(reader);
    close(asker);
    assert_int_equal(store_unlink(s, 0, &record.handle), 0);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_directory_that_is_not_there_or_not_ours_alone_is_refused, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_directory_that_systemd_hides_is_refused_with_that_reason, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_second_daemon_is_refused_and_told_the_pid_of_the_first, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_directory_where_the_kernel_does_not_see_mappings_is_refused, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(what_was_made_is_found_again, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(whatever_else_lies_there_is_left_alone_and_counted, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(each_of_very_many_files_is_found_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_scan_that_is_given_up_ends_at_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(records_that_are_damaged_or_newer_are_left_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(growth_that_was_not_finished_is_undone_at_the_scan, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(marks_tell_who_uses_a_file, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(marks_of_several_processes_are_told_from_a_strangers, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(locks_of_clients_hide_no_mark, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(marks_tell_who_may_have_written, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_file_in_use_is_repaired_after_the_scan, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(nothing_is_reached_through_a_link, make_dir, remove_dir),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
