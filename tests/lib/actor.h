// A child process that does its parts when the test tells it to, and waits in between: no test has to sleep, and kill
// -9 meets the child where the test wants.
#pragma once
#include "tests/lib/harness.h"

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

struct actor {
    pid_t pid;
    int to, from;
};

// In an actor or another child, where cmocka's assertions would jump into the parent's tests.
#define NEED(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                               \
        }                                                                           \
    } while (0)

// For the actor: its part is done, and the next one may begin.
void actor_done(struct actor *self);
void actor_wait(struct actor *self);
void actor_next(struct actor *self);
void actor_become(uid_t uid);
// FN in a new process, as UID unless that is -1.  It should be started before the test opens a client of its own.
void actor_start(struct actor *a, void (*fn)(struct actor *self, void *data), void *data, uid_t uid);
// Until the actor has done its part.
void actor_await(struct actor *a);
void actor_go(struct actor *a);
// The rest of its parts, and it must end well.
void actor_finish(struct actor *a);
void actor_kill(struct actor *a);
