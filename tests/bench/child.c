#include "tests/bench/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_SECONDS = 120 };

// The output of libraries is thrown away.
static void silence(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (null >= 0)
        dup2(null, STDOUT_FILENO);
    setenv("STXXLLOGFILE", "/dev/null", 1);
    setenv("STXXLERRLOGFILE", "/dev/null", 1);
}

__attribute__((noreturn)) static void child_main(void (*run)(const void *, struct bench_result *), const void *data,
                                                 const struct cgroup *group, int to)
{
    struct bench_result result = {0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); // with the programs that it starts
    silence();
    if (group && cgroup_enter(group) < 0)
        bench_die(group->path);
    run(data, &result);
    _exit(write(to, &result, sizeof result) == sizeof result ? 0 : 1);
}

static enum outcome reap(pid_t pid, bool complete, bool late, bool limited)
{
    int status = 0;
    siginfo_t end;

    if (late)
        kill(pid, SIGKILL);
    // Programs that it has started and that still run would keep its group from being removed.
    waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT);
    kill(-pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (late)
        return OUTCOME_TIMEOUT;
    if (complete && status == 0)
        return OUTCOME_OK;
    return limited && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? OUTCOME_KILLED : OUTCOME_FAILED;
}

struct bench_result child_run(void (*run)(const void *data, struct bench_result *ret), const void *data,
                              const struct cgroup *group, unsigned seconds)
{
    struct bench_result result = {0};
    bool complete, late;
    int ends[2];
    pid_t pid;

    fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0)
        bench_die("fork");
    if (pid == 0)
        child_main(run, data, group, ends[1]);
    close(ends[1]);
    late = poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, (int)seconds * 1000) == 0;
    complete = !late && read(ends[0], &result, sizeof result) == sizeof result;
    close(ends[0]);
    result.outcome = reap(pid, complete, late, group != NULL);
    return result;
}

static void touch_all(const void *data, struct bench_result *ret)
{
    size_t n = *(const size_t *)data;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)ret;
    if (p == MAP_FAILED)
        bench_die("mmap");
    madvise(p, n, MADV_HUGEPAGE);
    for (size_t i = 0; i < n; i += 4096)
        p[i] = 1;
}

void child_warm(size_t bytes)
{
    child_run(touch_all, &bytes, NULL, WARM_SECONDS);
}
