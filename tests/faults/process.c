// The processes of a run: daemon and script, each perhaps with the preloaded library, none longer than its deadline.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "tests/faults/run.h"
#include "tests/lib/harness.h"

enum {
    START_S = 60,
    STOP_S = 30,
    SCRIPT_S = 60,
    // With faults that stay: after that time the faults stop, and the script must come to its end.
    PATIENCE_MS = 4 * 1000,
};

// ASan's own memory functions come behind the injector's, and it minds that.
static void set_environment(const struct run *r, bool with_faults, bool is_daemon)
{
    if (with_faults) {
        setenv("LD_PRELOAD", TEST_FAULTS_INJECT, 1);
        setenv(FAULTS_CONTROL_ENV, r->control_path, 1);
        if (is_daemon)
            setenv("DISKALLOC_FAULTS_EXECUTABLE", "1", 1);
    }
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=1:allocator_may_return_null=1:abort_on_error=0", 1);
    setenv("LSAN_OPTIONS", "print_suppressions=0:suppressions=" TEST_SOURCE_DIR "/faults/lsan.supp", 1);
    setenv("UBSAN_OPTIONS", "print_stacktrace=1", 1);
}

static void redirect(const struct run *r)
{
    int log = open(r->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
}

static int notify_open(const struct run *r, struct sockaddr_un *address)
{
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "%s/notify", r->dir);
    unlink(address->sun_path);
    if (sock < 0 || bind(sock, (struct sockaddr *)address, sizeof *address) < 0)
        abort();
    return sock;
}

static bool is_ready(int sock)
{
    char text[4096];
    ssize_t n = recv(sock, text, sizeof text - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    return strncmp(text, "READY=1", 7) == 0 || strstr(text, "\nREADY=1");
}

static off_t log_size(const struct run *r)
{
    _cleanup_close_ int fd = open(r->log, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
}

// A start that failed is right if the daemon said why.
static void check_refusal(struct run *r, int status, off_t log_before, bool with_faults)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 0 || WEXITSTATUS(status) > 78)
        run_violation(r, "the daemon did not start: wait status 0x%x", (unsigned)status);
    else if (!with_faults)
        run_violation(r, "a fresh daemon did not start: exit status %d", WEXITSTATUS(status));
    else if (log_size(r) == log_before)
        run_violation(r, "the daemon did not start (exit status %d), and said nothing", WEXITSTATUS(status));
    r->refused |= with_faults;
}

bool daemon_begin(struct run *r, bool with_faults)
{
    struct sockaddr_un address;
    _cleanup_close_ int sock = notify_open(r, &address), pidfd = -1;
    uint64_t until = clock_after(test_patience(START_S) * 1000);
    off_t log_before = log_size(r);
    pid_t parent = getpid(), child = fork();
    int status;

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        redirect(r);
        set_environment(r, with_faults, true);
        setenv("NOTIFY_SOCKET", address.sun_path, 1);
        execl(TEST_DISKALLOCD, "diskallocd", "--config", r->config, "--socket", r->socket, "--spill-dir", r->spill,
              (char *)NULL);
        _exit(127);
    }
    r->daemon = child; // not by the child, which shares this memory
    pidfd = pidfd_open(r->daemon, 0);
    while (clock_left(until) > 0) {
        struct pollfd fds[] = {{.fd = sock, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

        poll(fds, 2, (int)clock_left(until));
        if (fds[0].revents && is_ready(sock))
            return true;
        if (fds[1].revents && waitpid(r->daemon, &status, WNOHANG) == r->daemon) {
            r->daemon = 0;
            check_refusal(r, status, log_before, with_faults);
            return false;
        }
    }
    run_violation(r, "the daemon was not ready in time");
    daemon_kill(r);
    return false;
}

void daemon_kill(struct run *r)
{
    if (r->daemon <= 0)
        return;
    kill(r->daemon, SIGKILL);
    waitpid(r->daemon, NULL, 0);
    r->daemon = 0;
}

// True if PID has ended within MS; then *RET_STATUS is its wait status.
static bool wait_for_end(pid_t pid, uint64_t ms, int *ret_status)
{
    _cleanup_close_ int pidfd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    uint64_t until = clock_after((int64_t)ms);

    while (poll(&p, 1, (int)clock_left(until)) <= 0)
        if (clock_left(until) == 0)
            return false;
    return waitpid(pid, ret_status, 0) == pid;
}

void daemon_end(struct run *r)
{
    int status;

    if (r->daemon <= 0)
        return;
    kill(r->daemon, SIGTERM);
    if (!wait_for_end(r->daemon, test_patience(STOP_S) * 1000, &status)) {
        run_violation(r, "the daemon did not end after SIGTERM");
        kill(r->daemon, SIGABRT);
        waitpid(r->daemon, NULL, 0);
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        run_violation(r, "the daemon ended with wait status 0x%x", (unsigned)status);
    r->daemon = 0;
}

static void script_exec(const struct run *r, const char *what, bool with_faults)
{
    const char *faults = r->fault.at == 0 ? "exact" : r->fault.persistent ? "persistent" : "once";
    char pid[16];

    redirect(r);
    set_environment(r, with_faults, false);
    snprintf(pid, sizeof pid, "%d", (int)r->daemon);
    if (r->fault.target == TARGET_DIR)
        execl(TEST_FAULTS_SCRIPT, "faults-script", what, r->report_path, r->address, "faults", r->dir, faults,
              (char *)NULL);
    // An administrator's part is not the library's.
    else if (with_faults)
        execl(TEST_FAULTS_SCRIPT, "faults-script", what, r->report_path, r->address, "faults", r->dir, faults,
              (char *)NULL);
    else
        execl(TEST_FAULTS_SCRIPT, "faults-script", what, r->report_path, r->address, "faults", r->dir, faults,
              r->config, pid, (char *)NULL);
    _exit(127);
}

void script_run(struct run *r, const char *what, bool with_faults)
{
    pid_t parent = getpid(), script;
    int status = 0;

    r->report->ended = false;
    script = fork();
    if (script == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            script_exec(r, what, with_faults);
        _exit(126);
    }
    if (!r->fault.persistent || !wait_for_end(script, PATIENCE_MS, &status)) {
        if (r->fault.persistent)
            r->control->armed = false;
        if (!wait_for_end(script, test_patience(SCRIPT_S) * 1000, &status)) {
            run_violation(r, "the script (%s) hangs in \"%s\"", what, r->report->doing);
            kill(script, SIGABRT);
            waitpid(script, NULL, 0);
            return;
        }
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        run_violation(r, "the script (%s) ended with wait status 0x%x in \"%s\"", what, (unsigned)status,
                      r->report->doing);
    else if (r->report->complaint[0])
        run_violation(r, "%s", r->report->complaint);
    else if (!r->report->ended)
        run_violation(r, "the script (%s) did not come to its end", what);
}
