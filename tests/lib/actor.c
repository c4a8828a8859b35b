// See actor.h.
#include "tests/lib/actor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void actor_done(struct actor *self)
{
    NEED(write(self->to, "x", 1) == 1);
}

void actor_wait(struct actor *self)
{
    char c;

    if (read(self->from, &c, 1) != 1)
        _exit(2);
}

void actor_next(struct actor *self)
{
    actor_done(self);
    actor_wait(self);
}

void actor_become(uid_t uid)
{
    const struct passwd *pw = getpwuid(uid);
    gid_t gid = pw ? pw->pw_gid : uid;

    NEED(setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0);
}

void actor_start(struct actor *a, void (*fn)(struct actor *self, void *data), void *data, uid_t uid)
{
    int down[2], up[2];

    assert_return_code(pipe2(down, O_CLOEXEC), errno);
    assert_return_code(pipe2(up, O_CLOEXEC), errno);
    fflush(NULL);
    a->pid = fork();
    assert_return_code(a->pid, errno);
    if (a->pid == 0) {
        struct actor self = {.pid = getpid(), .to = up[1], .from = down[0]};

        static const int caught[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};

        for (size_t i = 0; i < sizeof(caught) / sizeof(*caught); i++)
            signal(caught[i], SIG_DFL); // cmocka's handler belongs to the tests
        close(down[1]);
        close(up[0]);
        if (uid != (uid_t)-1)
            actor_become(uid);
        prctl(PR_SET_PDEATHSIG, SIGKILL); // after the change of user, which resets it
        fn(&self, data);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    a->to = down[1];
    a->from = up[0];
}

void actor_await(struct actor *a)
{
    char c;

    assert_int_equal(read(a->from, &c, 1), 1);
}

void actor_go(struct actor *a)
{
    assert_int_equal(write(a->to, "x", 1), 1);
}

void actor_finish(struct actor *a)
{
    int status;

    close(a->to);
    close(a->from);
    assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void actor_kill(struct actor *a)
{
    int status;

    assert_return_code(kill(a->pid, SIGKILL), errno);
    assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
    close(a->to);
    close(a->from);
}
