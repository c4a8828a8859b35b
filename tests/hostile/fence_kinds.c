// The key `fence`: which fences it asks for, and what happens where the machine does not have them.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/falloc.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "proto/util/cleanup.h"
#include "tests/lib/actor.h"
#include "tests/lib/fenced.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

enum { SIZE = 1 << 20 };

static void off_means_plain_descriptors_that_nobody_watches(void **state)
{
    _cleanup_free_ char *names = NULL, *missing = NULL;
    struct fenced f;
    struct stat st;
    uint64_t mended;

    (void)state;
    fenced_start(&f, "off", SIZE);
    names = fenced_status(&f, &mended, &missing);
    assert_string_equal(names, "");
    assert_string_equal(missing, "");
    assert_true(test_daemon_logged(&f.daemon, "fences around descriptors: none"));
    assert_int_equal(ftruncate(f.fd, 2 * SIZE), 0);
    // The daemon takes its own time for a grow after the change, and has not looked at the file.
    assert_int_equal(diskalloc_region_resize(f.region, SIZE + 4096), 0);
    assert_int_equal(fstat(f.fd, &st), 0);
    assert_int_equal(st.st_size, 2 * SIZE);
    fenced_stop(&f);
}

static void the_status_names_the_fences_and_what_is_missing(void **state)
{
    _cleanup_free_ char *names = NULL, *missing = NULL;
    struct fenced f;
    uint64_t mended = 1;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    names = fenced_status(&f, &mended, &missing);
    assert_non_null(strstr(names, "tripwire"));
    assert_non_null(strstr(missing, "passthrough: "));
    assert_int_equal(!strstr(names, "landlock"), !!strstr(missing, "landlock: "));
    assert_int_equal(mended, 0);
    assert_true(test_daemon_logged(&f.daemon, names));
    fenced_stop(&f);
}

// In a process of its own, whose daemons have no Landlock either.
static void forbid_landlock(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};

    NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    NEED(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void start_without_landlock(void *data)
{
    _cleanup_free_ char *names = NULL, *missing = NULL;
    struct fenced f;

    (void)data;
    forbid_landlock();
    fenced_start(&f, "auto", SIZE);
    names = fenced_status(&f, NULL, &missing);
    NEED(strcmp(names, "tripwire") == 0);
    NEED(strstr(missing, "landlock: this machine lacks Landlock"));
    NEED(ftruncate(f.fd, 4096) == 0);
    fenced_await_exact(&f, SIZE);
    fenced_stop(&f);
}

static void without_landlock_the_tripwire_is_left(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(start_without_landlock, NULL, (uid_t)-1), 0);
}

static void demand_landlock(void *data)
{
    struct test_daemon d;

    (void)data;
    forbid_landlock();
    NEED(test_daemon_start_expecting_failure(&d, "[daemon]\nfence = landlock\n", NULL) == 1);
    NEED(test_daemon_logged(&d, "fence = landlock: landlock: this machine lacks Landlock"));
    test_daemon_stop_and_remove(&d);
}

static void a_daemon_that_needs_landlock_does_not_start_without(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(demand_landlock, NULL, (uid_t)-1), 0);
}

static bool write_text(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

// In a process of its own, in a user namespace where the kernel allows only VALUE of NAME.  False: not on this machine.
static bool limit_inotify(const char *name, const char *value)
{
    char path[64], map[64];

    snprintf(map, sizeof map, "%u %u 1", getuid(), getuid());
    if (unshare(CLONE_NEWUSER) < 0 || !write_text("/proc/self/uid_map", map))
        return false;
    snprintf(path, sizeof path, "/proc/sys/user/%s", name);
    return write_text(path, value);
}

static void start_without_watches(void *data)
{
    struct fenced f;

    (void)data;
    if (!limit_inotify("max_inotify_watches", "0"))
        _exit(77);
    fenced_start(&f, "auto", SIZE);
    NEED(test_daemon_logged(&f.daemon, "fs.inotify.max_user_watches"));
    NEED(fallocate(f.fd, FALLOC_FL_KEEP_SIZE, SIZE, SIZE) == 0);
    fenced_await_exact(&f, SIZE);
    fenced_stop(&f);
}

static void start_without_inotify(void *data)
{
    _cleanup_free_ char *names = NULL, *missing = NULL;
    struct fenced f;

    (void)data;
    if (!limit_inotify("max_inotify_instances", "0"))
        _exit(77);
    fenced_start(&f, "auto", SIZE);
    names = fenced_status(&f, NULL, &missing);
    NEED(!strstr(names, "tripwire"));
    NEED(strstr(missing, "tripwire: this machine lacks inotify instances"));
    NEED(fallocate(f.fd, FALLOC_FL_KEEP_SIZE, SIZE, SIZE) == 0);
    fenced_await_exact(&f, SIZE);
    fenced_stop(&f);
}

static void run_limited(void (*fn)(void *data))
{
    int status = test_in_child(fn, NULL, (uid_t)-1);

    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void where_the_kernel_watches_no_more_everything_is_looked_at(void **state)
{
    (void)state;
    run_limited(start_without_watches);
}

static void without_inotify_everything_is_looked_at(void **state)
{
    (void)state;
    run_limited(start_without_inotify);
}

static bool has_told(void *data)
{
    return test_daemon_logged(data, "another fence needs a restart");
}

static void a_reload_does_not_change_the_fence(void **state)
{
    struct fenced f;
    FILE *config;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    config = fopen(f.daemon.config, "we");
    fputs("[daemon]\nkeep_free = 0\nfence = off\n", config);
    fclose(config);
    assert_int_equal(kill(f.daemon.pid, SIGHUP), 0);
    test_wait_until(has_told, &f.daemon, 30, "the log says that a restart is needed");
    assert_int_equal(fallocate(f.fd, FALLOC_FL_KEEP_SIZE, SIZE, SIZE), 0);
    fenced_await_exact(&f, SIZE);
    fenced_stop(&f);
}

static void do_hostile_things(void *data)
{
    const struct fenced *f = data;

    NEED(ftruncate(f->fd, 0) < 0 && errno == EACCES);
    NEED(open("/proc/self/fd/100", O_RDWR) < 0);
    NEED(dup2(f->fd, 100) == 100 && open("/proc/self/fd/100", O_RDWR) < 0 && errno == EACCES);
}

static void another_user_cannot_get_a_descriptor_without_the_fence(void **state)
{
    struct fenced f;
    _cleanup_free_ char *names = NULL;

    (void)state;
    if (getuid() != 0)
        skip();
    fenced_start(&f, "auto", SIZE);
    names = fenced_status(&f, NULL, NULL);
    if (strstr(names, "landlock"))
        assert_int_equal(test_in_child(do_hostile_things, &f, 65534), 0);
    fenced_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(off_means_plain_descriptors_that_nobody_watches),
        TEST(the_status_names_the_fences_and_what_is_missing),
        TEST(without_landlock_the_tripwire_is_left),
        TEST(a_daemon_that_needs_landlock_does_not_start_without),
        TEST(where_the_kernel_watches_no_more_everything_is_looked_at),
        TEST(without_inotify_everything_is_looked_at),
        TEST(a_reload_does_not_change_the_fence),
        TEST(another_user_cannot_get_a_descriptor_without_the_fence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
