// The deadline of a test, the count of its open descriptors, and children that run a part of it.
#include "tests/lib/harness.h"

#include <dirent.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/util/cleanup.h"

enum { DEADLINE_SECONDS = 120, DESCRIPTORS_SHOWN = 20 };

static size_t n_open_before;

// A test that is killed by its deadline shall leave the lines of the tests before it.
__attribute__((constructor)) static void buffer_stdout_by_line(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
}

// Among many others a program may hardly get a turn.
unsigned test_patience(unsigned seconds)
{
    return getenv("DISKALLOC_TEST_SLOW") ? seconds * 3 : seconds;
}

void test_wait_until(bool (*condition)(void *data), void *data, unsigned seconds, const char *what)
{
    struct timespec now, pause = {.tv_nsec = 100000};
    int64_t end;

    seconds = test_patience(seconds);
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

static void child_on_abort(int signal)
{
    (void)signal;
    _exit(1);
}

// In the child, cmocka must neither jump back into the parent's list of tests nor catch the signals that are to kill
// the child.
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
    bool slow = SANITIZED || getenv("DISKALLOC_TEST_SLOW") || (preload && strstr(preload, "vgpreload"));

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
