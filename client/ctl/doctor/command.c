// Running other programs: see command.h.
#include "client/ctl/doctor/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { MOST_MS = 5000 };

extern char **environ;

static bool start(const char *const argv[], int out, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    int r;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    if (r == 0)
        r = posix_spawnp(ret, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return r == 0;
}

// False: the program did not close its output in time.
static bool read_all(int fd, char *ret, size_t n)
{
    uint64_t deadline = clock_after(MOST_MS);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t at = 0;
    char rest[512] = "";

    for (;;) {
        bool fits = at + 1 < n;
        ssize_t got;

        if (clock_left(deadline) == 0 || poll(&p, 1, (int)clock_left(deadline)) <= 0)
            return false;
        got = read(fd, fits ? ret + at : rest, fits ? n - 1 - at : sizeof rest);
        if (got <= 0)
            break;
        at += fits ? (size_t)got : 0;
    }
    ret[at] = '\0';
    return true;
}

int command_run(const char *const argv[], char *ret, size_t n)
{
    _cleanup_close_ int from = -1, to = -1;
    int ends[2], status;
    bool fine;
    pid_t pid;

    ret[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    from = ends[0];
    to = ends[1];
    if (!start(argv, to, &pid))
        return -1;
    close(to);
    to = -1;
    fine = read_all(from, ret, n);
    if (!fine)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        continue;
    return fine && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
