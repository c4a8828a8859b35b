// A spill directory that was changed by somebody else: the daemon starts or says why not, counts and names the
// entries that it leaves alone, and serves its clients all the same.
#include "tests/lib/loop_mount.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#include "proto/spill/record.h"

static void shell(const char *dir, const char *commands)
{
    char text[1600];

    assert_true((size_t)snprintf(text, sizeof text, "cd '%s' && %s", dir, commands) < sizeof text);
    assert_int_equal(system(text), 0);
}

static uint64_t count_foreign(const struct test_daemon *d)
{
    char command[600];
    unsigned long long n = 0;
    FILE *f;

    snprintf(command, sizeof command, "%s --address %s status", TEST_DISKALLOCCTL, d->address);
    f = popen(command, "r");
    assert_non_null(f);
    for (char line[200]; fgets(line, sizeof line, f);)
        sscanf(line, "Foreign files %llu", &n);
    assert_int_equal(pclose(f), 0);
    return n;
}

static void serves(const struct test_daemon *d, const char *name)
{
    struct diskalloc_region *r = NULL, *anonymous;
    struct diskalloc *da = NULL;

    assert_int_equal(diskalloc_open(d->address, NULL, &da), 0);
    anonymous = make_region(da, 10000);
    memset(diskalloc_region_data(anonymous), 1, 10000);
    assert_int_equal(open_named(da, name, 5000, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
    assert_int_equal(usage_of(da).bytes, 12288 + 8192);
    diskalloc_region_close(r);
    diskalloc_region_close(anonymous);
    assert_int_equal(diskalloc_region_unlink(da, name), 0);
    test_wait_until(nothing_is_charged, da, 30, "both have gone");
    diskalloc_close(da);
}

// Like a file from a backup, or a file that somebody put here because there was room.
static void strew(const struct test_daemon *d)
{
    char user[240];

    snprintf(user, sizeof user, "%s/%u", d->spill, (unsigned)geteuid());
    shell(d->spill, "mkdir -p lost+found alice 01 ./-1 4294967295 99999999999999999999 12x"); // 6
    shell(d->spill, "ln -s /etc 77 && mkfifo 78 && truncate -s 1T huge && echo text >79");    // 4
    shell(d->spill, "mkdir -p 1234 5678/deep/er && touch 1234/readme");                       // 2
    if (access(user, F_OK) != 0)
        assert_return_code(mkdir(user, 0700), errno);
    shell(user, "mkfifo 00000000000000000000000000000001 && ln -s ../huge 00000000000000000000000000000002 && "
                "mkdir 00000000000000000000000000000003 && ln -s nowhere 00000000000000000000000000000004");    // 4
    shell(user, "truncate -s 1G 00000000000000000000000000000005 && echo x >00000000000000000000000000000006"); // 2
    shell(user,
          "echo x >0000000000000000000000000000000G");     // 1
    shell(user, "touch 00000000000000000000000000000008"); // nothing in it: half-made, and removed
}

static void foreign_things_are_counted_named_and_left_alone(void **state)
{
    struct test_daemon d;
    char before[700], after[700];

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    test_daemon_stop(&d);
    strew(&d);
    shell(d.spill, "find . -printf '%p %y %s %l\\n' | grep -v -e '^[.] ' -e "
                   "/[.] -e '0\\{31\\}8' | sort >../before");
    for (int i = 0; i < 2; i++) {
        test_daemon_restart(&d);
        assert_int_equal(count_foreign(&d), 19);
        serves(&d, "beside");
        if (i)
            test_daemon_stop(&d);
        else
            test_daemon_kill(&d, SIGKILL);
    }
    shell(d.spill, "find . -printf '%p %y %s %l\\n' | grep -v -e '^[.] ' -e /[.] | sort >../after; cd .. && "
                   "diff before after");
    snprintf(before, sizeof before, "%s/%u/00000000000000000000000000000005: a file without a record; left alone",
             d.spill, (unsigned)geteuid());
    assert_true(test_daemon_logged(&d, before));
    snprintf(after, sizeof after, "%s/alice: not a user's directory; left alone", d.spill);
    assert_true(test_daemon_logged(&d, after));
    test_daemon_stop_and_remove(&d);
}

static void write_record(int fd, int kind)
{
    uint8_t bytes[RECORD_MAX + 200] = {0};
    struct record record;
    size_t n;

    assert_int_equal(record_load(&file_ops_system, fd, &record), 0);
    n = record_encode(&record, bytes);
    if (kind == 0)
        bytes[n / 2] ^= 0x10; // a bit
    else if (kind == 1)
        n = 7; // cut
    else if (kind == 2)
        bytes[4] = RECORD_VERSION + 1;
    else if (kind == 3)
        memset(bytes, 0xff, n = RECORD_MAX + 100); // longer than any version's
    else
        n = 0;
    assert_return_code(fsetxattr(fd, RECORD_XATTR, bytes, n, 0), errno);
}

enum { KINDS = 5 };

static void a_region_whose_record_is_damaged_costs_the_others_nothing(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_daemon d;
    struct diskalloc *da = NULL;
    char path[KINDS][300];

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    assert_int_equal(diskalloc_open(d.address, NULL, &da), 0);
    for (int kind = 0; kind <= KINDS; kind++) {
        char name[20];

        snprintf(name, sizeof name, "kind-%d", kind);
        assert_int_equal(open_named(da, name, 4096, DISKALLOC_REGION_CREATE, &r), 0);
        memset(diskalloc_region_data(r), 'a' + kind, 4096);
        if (kind < KINDS)
            snprintf(path[kind], sizeof path[kind], "%s/%u/%s", d.spill, (unsigned)geteuid(),
                     diskalloc_region_handle(r));
        diskalloc_region_close(r);
    }
    test_daemon_kill(&d, SIGKILL);
    for (int kind = 0; kind < KINDS; kind++) {
        int fd = open(path[kind], O_RDWR | O_CLOEXEC);

        assert_return_code(fd, errno);
        write_record(fd, kind);
        close(fd);
    }
    test_daemon_restart(&d);
    assert_int_equal(count_foreign(&d), KINDS);
    assert_int_equal(usage_of(da).regions, 1);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(da, "kind-0", 0, 0, &r));
    assert_int_equal(open_named(da, "kind-5", 0, 0, &r), 0);
    assert_int_equal(((char *)diskalloc_region_data(r))[4095], 'a' + KINDS);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "kind-5"), 0);
    test_wait_until(nothing_is_charged, da, 30, "the last one has gone");
    diskalloc_close(da);
    for (int kind = 0; kind < KINDS; kind++)
        assert_return_code(access(path[kind], F_OK), errno);
    test_daemon_stop_and_remove(&d);
}

static void expect_refused(const char *spill, int status, const char *sentence)
{
    struct test_daemon d;

    assert_int_equal(test_daemon_start_expecting_failure(&d, NULL, spill), status);
    if (!test_daemon_logged(&d, sentence) || !test_daemon_logged(&d, spill))
        fail_msg("the log does not say \"%s\" of %s", sentence, spill);
    test_daemon_stop_and_remove(&d);
}

static void a_spill_directory_that_is_not_there_or_none_is_refused_with_a_sentence(void **state)
{
    char dir[150], path[200];

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/missing", dir);
    expect_refused(path, 1, "No such file or directory");
    shell(dir, "touch file && ln -s loop loop && mkdir -m 0777 open");
    snprintf(path, sizeof path, "%s/file", dir);
    expect_refused(path, 1, "Not a directory");
    snprintf(path, sizeof path, "%s/loop", dir);
    expect_refused(path, 1, "Too many levels of symbolic links");
    snprintf(path, sizeof path, "%s/open", dir);
    expect_refused(path, 1, "others may write to it");
    scratch_remove_tree(dir);
}

static void a_spill_directory_that_is_read_only_is_refused_with_a_sentence(void **state)
{
    struct test_mount m;

    (void)state;
    if (!test_mount(&m, "ext4", 64 * MIB)) {
        skip();
        return;
    }
    assert_return_code(mount(NULL, m.at, NULL, MS_REMOUNT | MS_RDONLY, NULL), errno);
    expect_refused(m.at, 1, "Read-only file system");
    test_unmount(&m);
}

static void a_second_daemon_exits_75_until_the_first_has_gone_however_that_went(void **state)
{
    struct test_daemon first, second, third;
    char pid[32];

    (void)state;
    test_daemon_start(&first, NULL, NULL);
    assert_int_equal(test_daemon_start_expecting_failure(&second, NULL, first.spill), 75);
    snprintf(pid, sizeof pid, "(pid %d)", (int)first.pid);
    assert_true(test_daemon_logged(&second, pid));
    test_daemon_halt(&first); // it has it all the same
    test_daemon_stop_and_remove(&second);
    assert_int_equal(test_daemon_start_expecting_failure(&second, NULL, first.spill), 75);
    assert_true(test_daemon_logged(&second, pid));
    test_daemon_stop_and_remove(&second);
    test_daemon_kill(&first, SIGKILL);
    test_daemon_start(&third, NULL, first.spill);
    serves(&third, "third");
    test_daemon_stop_and_remove(&third);
    test_daemon_stop_and_remove(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(foreign_things_are_counted_named_and_left_alone),
        TEST(a_region_whose_record_is_damaged_costs_the_others_nothing),
        TEST(a_spill_directory_that_is_not_there_or_none_is_refused_with_a_sentence),
        TEST(a_spill_directory_that_is_read_only_is_refused_with_a_sentence),
        TEST(a_second_daemon_exits_75_until_the_first_has_gone_however_that_went),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
