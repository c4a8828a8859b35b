// What surrounds a test: a deadline, the count of open descriptors, children, scratch directories and file systems of their own.
//
// Directories carry the test process's pid in their name.  A janitor, forked before main and reparented to init, waits for the
// end of a pipe that only the test process (and children that it forked) hold: so it removes them also after a crash, a failed
// assertion or a passed deadline.  Mounts are made in a mount namespace of the process, which the kernel takes down with it.
#include "tests/lib/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define UNDER_SANITIZER true
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER true
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER false
#endif

enum { DEADLINE_SECONDS = 120, DESCRIPTORS_SHOWN = 20 };

static pid_t main_pid;
static size_t n_open_before;

const char *test_base_dir(void)
{
    const char *dir = getenv("DISKALLOC_TEST_DIR");

    return dir && *dir ? dir : "/var/tmp";
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void fixture_remove_tree(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void fixture_make_dir(char *ret, size_t size)
{
    int n = snprintf(ret, size, "%s/diskalloc-test-%d-XXXXXX", test_base_dir(), (int)main_pid);

    assert_true(n > 0 && (size_t)n < size);
    if (!mkdtemp(ret))
        fail_msg("no directory %s: %s", ret, strerror(errno));
    assert_int_equal(chmod(ret, 0711), 0);
}

static void janitor_sweep(void)
{
    _cleanup_closedir_ DIR *dir = opendir(test_base_dir());
    char prefix[64], path[4096];
    struct dirent *e;
    int n = snprintf(prefix, sizeof prefix, "diskalloc-test-%d-", (int)main_pid);

    while (dir && (e = readdir(dir))) {
        if (strncmp(e->d_name, prefix, (size_t)n) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", test_base_dir(), e->d_name);
        fixture_remove_tree(path);
    }
}

static void janitor_run(int pipe_end)
{
    char byte;

    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    while (read(pipe_end, &byte, 1) < 0 && errno == EINTR)
        ;
    janitor_sweep();
    _exit(0);
}

__attribute__((constructor)) static void janitor_start(void)
{
    int ends[2];
    pid_t pid;

    main_pid = getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (fork() == 0)
            janitor_run(ends[0]);
        _exit(0);
    }
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

char *fixture_read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t n = 0;

    if (!f)
        return NULL;
    if (getdelim(&text, &n, 0, f) < 0 && text)
        *text = 0;
    fclose(f);
    return text;
}

void test_wait_until(bool (*condition)(void *data), void *data, unsigned seconds, const char *what)
{
    struct timespec now, pause = {.tv_nsec = 100000};
    int64_t end;

    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + seconds;
    while (!condition(data)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end)
            fail_msg("after %u s still not true: %s", seconds, what);
        nanosleep(&pause, NULL);
        pause.tv_nsec = pause.tv_nsec < 5000000 ? pause.tv_nsec * 2 : 10000000;
    }
}

// Its exit status; what it prints goes to LOG.
static int run_command(const char *log, const char *const argv[])
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        // mkfs.xfs makes nothing below 300 MB unless it believes in a test suite
        setenv("TEST_DIR", "/", 1);
        setenv("TEST_DEV", "/", 1);
        setenv("QA_CHECK_FS", "1", 1);
        execvp(argv[0], (char *const *)argv);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static bool mount_refuse(struct test_mount *m, const char *type, const char *log, const char *why)
{
    _cleanup_free_ char *text = log ? fixture_read_file(log) : NULL;

    print_message("[ NOTE     ] no %s file system by loop: %s%s%s\n", type, why, text ? ": " : "", text ? text : "");
    unlink(m->image);
    rmdir(m->at);
    return false;
}

static int mount_make_image(const struct test_mount *m, uint64_t size)
{
    _cleanup_close_ int fd = open(m->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 || fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
}

bool test_mount(struct test_mount *m, const char *type, uint64_t size)
{
    char dir[64], mkfs[32], log[96];
    static bool private_namespace;

    memset(m, 0, sizeof *m);
    if (geteuid() != 0)
        return mount_refuse(m, type, NULL, "needs root");
    if (!private_namespace && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
        return mount_refuse(m, type, NULL, strerror(errno));
    private_namespace = true;
    fixture_make_dir(dir, sizeof dir);
    snprintf(m->image, sizeof m->image, "%s/image", dir);
    snprintf(m->at, sizeof m->at, "%s/at", dir);
    snprintf(mkfs, sizeof mkfs, "mkfs.%s", type);
    snprintf(log, sizeof log, "%s/mount.log", dir);
    assert_int_equal(mkdir(m->at, 0755), 0);
    if (mount_make_image(m, size) < 0)
        return mount_refuse(m, type, NULL, "no room for its image");
    const char *const make[] = {mkfs, "-q", strcmp(type, "ext4") ? "-f" : "-F", m->image, NULL};
    if (run_command(log, make) != 0)
        return mount_refuse(m, type, log, mkfs);
    const char *const attach[] = {"mount", "-t", type, "-o", "loop", m->image, m->at, NULL};
    if (run_command(log, attach) != 0)
        return mount_refuse(m, type, log, "mount");
    m->mounted = true;
    return true;
}

void test_unmount(struct test_mount *m)
{
    char *slash = strrchr(m->image, '/');

    if (!m->mounted)
        return;
    if (umount(m->at) < 0)
        umount2(m->at, MNT_DETACH);
    m->mounted = false;
    *slash = 0;
    fixture_remove_tree(m->image);
    *slash = '/';
}

static void child_on_abort(int signal)
{
    (void)signal;
    _exit(1);
}

// cmocka must neither jump back into the parent's list of tests nor catch what is to kill the child.
static void child_leave_cmocka(void)
{
    static const int caught[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
    const struct rlimit no_core = {0, 0};

    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        signal(caught[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &no_core);
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    signal(SIGABRT, child_on_abort);
}

static unsigned deadline(void)
{
    const char *preload = getenv("LD_PRELOAD");
    bool slow = UNDER_SANITIZER || (preload && strstr(preload, "vgpreload"));

    return slow ? 10 * DEADLINE_SECONDS : DEADLINE_SECONDS;
}

int test_in_child(void (*fn)(void *data), void *data, uid_t uid)
{
    pid_t parent = getpid(), pid;
    int status = 0;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(deadline());
        if (uid != (uid_t)-1 &&
            (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
            _exit(126);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        child_leave_cmocka();
        fn(data);
        fflush(NULL);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return status;
}

static size_t count_open(bool print)
{
    _cleanup_closedir_ DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    size_t n = 0;

    assert_non_null(dir);
    while ((e = readdir(dir))) {
        char target[256] = "";

        if (e->d_name[0] == '.')
            continue;
        n++;
        if (print && n <= DESCRIPTORS_SHOWN && readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1) > 0)
            print_error("fd %s: %s\n", e->d_name, target);
    }
    if (print && n > DESCRIPTORS_SHOWN)
        print_error("and %zu more\n", n - DESCRIPTORS_SHOWN);
    return n;
}

static void on_deadline(int signal_number)
{
    static const char text[] = "\nThe deadline of the test named above has passed.\n";

    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

int test_setup(void **state)
{
    (void)state;
    signal(SIGALRM, on_deadline);
    alarm(deadline());
    n_open_before = count_open(false);
    return 0;
}

int test_teardown(void **state)
{
    size_t n = count_open(false);

    (void)state;
    alarm(0);
    if (n == n_open_before)
        return 0;
    print_error("%zu descriptors were open before this test, %zu are after it\n", n_open_before, n);
    count_open(true);
    return -1;
}

_Noreturn void test_skip_all(const char *why)
{
    printf("skipped: %s\n", why);
    exit(77);
}
