// A real diskallocd in a private directory.  It tells by sd_notify when it is ready, and by its pidfd that it died
// first, so nothing here waits by the clock.
#include "tests/lib/test_daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { START_SECONDS = 60 };

static void (*prepare_process)(void);

void test_daemon_prepare(void (*prepare)(void))
{
    prepare_process = prepare;
}

static void notify_path(const struct test_daemon *d, char *ret, size_t size)
{
    int n = snprintf(ret, size, "%s/notify", d->dir);

    if (n < 0 || (size_t)n >= size)
        fail_msg("%s is too long for a socket's path: set DISKALLOC_TEST_DIR to a shorter directory", d->dir);
}

static int notify_listen(const struct test_daemon *d)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(sock >= 0);
    notify_path(d, address.sun_path, sizeof address.sun_path);
    unlink(address.sun_path);
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof address), 0);
    return sock;
}

static bool notify_is_ready(int sock)
{
    char text[4096];
    ssize_t n = recv(sock, text, sizeof text - 1, MSG_DONTWAIT);

    if (n <= 0)
        return false;
    text[n] = 0;
    return !strncmp(text, "READY=1", 7) || strstr(text, "\nREADY=1");
}

// In the child: never returns.
static void daemon_exec(const struct test_daemon *d, pid_t parent)
{
    char notify[sizeof((struct sockaddr_un *)0)->sun_path];
    int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || log < 0 || null < 0)
        _exit(126);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    notify_path(d, notify, sizeof notify);
    setenv("NOTIFY_SOCKET", notify, 1);
    static const char *const foreign[] = {"LISTEN_FDS",   "LISTEN_PID",     "LISTEN_FDNAMES",   "WATCHDOG_USEC",
                                          "WATCHDOG_PID", "JOURNAL_STREAM", "DISKALLOC_ADDRESS"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        unsetenv(foreign[i]);
    if (prepare_process)
        prepare_process();
    execl(TEST_DISKALLOCD, "diskallocd", "--config", d->config, "--socket", d->socket,
          d->spill[0] ? "--spill-dir" : (char *)NULL, d->spill, (char *)NULL);
    dprintf(STDERR_FILENO, "exec " TEST_DISKALLOCD ": %s\n", strerror(errno));
    _exit(127);
}

// True when it is ready; false when it has died, or the deadline has passed.
static bool daemon_wait_ready(int sock, int pidfd)
{
    struct pollfd fds[] = {{.fd = sock, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    struct timespec now;
    int64_t left = START_SECONDS, end;

    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + START_SECONDS;
    while (left > 0) {
        int n = poll(fds, 2, (int)left * 1000);

        if (n > 0 && fds[0].revents && notify_is_ready(sock))
            return true;
        if (n > 0 && fds[1].revents)
            return false;
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = end - now.tv_sec;
    }
    return false;
}

static bool daemon_run(struct test_daemon *d)
{
    _cleanup_close_ int sock = notify_listen(d), pidfd = -1;
    pid_t parent = getpid();

    fflush(NULL);
    d->pid = fork();
    if (d->pid == 0)
        daemon_exec(d, parent);
    assert_true(d->pid > 0);
    pidfd = pidfd_open(d->pid, 0);
    assert_true(pidfd >= 0);
    return daemon_wait_ready(sock, pidfd);
}

static void daemon_print_log(const struct test_daemon *d)
{
    _cleanup_free_ char *text = scratch_read_file(d->log);

    fprintf(stderr, "--- %s\n%s---\n", d->log, text ? text : "(not there)\n");
}

// The fence that programs of other tests are run with once more, see passthrough_programs in tests/CMakeLists.txt.
static void add_fence(const struct test_daemon *d, const char *fence)
{
    char dir[200], path[240];
    FILE *f;

    snprintf(dir, sizeof dir, "%s.d", d->config);
    snprintf(path, sizeof path, "%s/fence.conf", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "[daemon]\nfence = %s\n", fence);
    assert_int_equal(fclose(f), 0);
}

static void daemon_prepare(struct test_daemon *d, const char *config_text, const char *spill)
{
    const char *fence = getenv("DISKALLOC_TEST_FENCE");
    FILE *f;

    memset(d, 0, sizeof *d);
    scratch_make_dir(d->dir, sizeof d->dir);
    snprintf(d->socket, sizeof d->socket, "%s/socket", d->dir);
    snprintf(d->address, sizeof d->address, "unix:%s", d->socket);
    snprintf(d->config, sizeof d->config, "%s/diskallocd.conf", d->dir);
    snprintf(d->log, sizeof d->log, "%s/log", d->dir);
    if (spill)
        snprintf(d->spill, sizeof d->spill, "%s", spill);
    else
        snprintf(d->spill, sizeof d->spill, "%s/spill", d->dir);
    if (!spill)
        assert_int_equal(mkdir(d->spill, 0700), 0);
    f = fopen(d->config, "we");
    assert_non_null(f);
    fputs(config_text ? config_text : "[daemon]\nkeep_free = 0\n", f);
    assert_int_equal(fclose(f), 0);
    if (fence)
        add_fence(d, fence);
}

void test_daemon_start(struct test_daemon *d, const char *config_text, const char *spill)
{
    daemon_prepare(d, config_text, spill);
    test_daemon_restart(d);
}

void test_daemon_restart(struct test_daemon *d)
{
    if (daemon_run(d))
        return;
    test_daemon_kill(d, SIGKILL);
    daemon_print_log(d);
    fail_msg("diskallocd did not become ready");
}

int test_daemon_start_expecting_failure(struct test_daemon *d, const char *config_text, const char *spill)
{
    int status;

    daemon_prepare(d, config_text, spill);
    if (daemon_run(d)) {
        test_daemon_kill(d, SIGKILL);
        daemon_print_log(d);
        fail_msg("diskallocd started although it should have refused");
    }
    assert_int_equal(waitpid(d->pid, &status, WNOHANG), d->pid);
    d->pid = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

bool test_daemon_can_start(const char *config_text)
{
    struct test_daemon d;
    bool ready;
    int status;

    daemon_prepare(&d, config_text, NULL);
    ready = daemon_run(&d);
    if (!ready) {
        assert_int_equal(waitpid(d.pid, &status, 0), d.pid);
        d.pid = 0;
    }
    test_daemon_stop_and_remove(&d);
    return ready;
}

void test_daemon_kill(struct test_daemon *d, int signal)
{
    if (d->pid <= 0)
        return;
    kill(d->pid, signal);
    waitpid(d->pid, NULL, 0);
    d->pid = 0;
}

// The signal does not stop all threads at once; the kernel tells when the last one has stopped.
void test_daemon_halt(const struct test_daemon *d)
{
    siginfo_t info;

    assert_return_code(kill(d->pid, SIGSTOP), errno);
    assert_return_code(waitid(P_PID, (id_t)d->pid, &info, WSTOPPED), errno);
}

void test_daemon_go_on(const struct test_daemon *d)
{
    assert_return_code(kill(d->pid, SIGCONT), errno);
}

void test_daemon_stop(struct test_daemon *d)
{
    int status = 0;

    assert_true(d->pid > 0);
    assert_int_equal(kill(d->pid, SIGTERM), 0);
    assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
    d->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    daemon_print_log(d);
    fail_msg("diskallocd ended with wait status 0x%x", (unsigned)status);
}

void test_daemon_stop_and_remove(struct test_daemon *d)
{
    if (d->pid > 0)
        test_daemon_stop(d);
    scratch_remove_tree(d->dir);
}

bool test_daemon_logged(const struct test_daemon *d, const char *text)
{
    _cleanup_free_ char *log = scratch_read_file(d->log);

    return log && strstr(log, text);
}

long test_daemon_resident_mib(const struct test_daemon *d)
{
    char path[64], line[128];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)d->pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld kB", &kib);
    if (f)
        fclose(f);
    return kib / 1024;
}
