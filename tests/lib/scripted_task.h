// For the tests of the client's thread: a task that does what the test says, and a thread that waits for it.
#pragma once
#include "tests/lib/proc_self.h"

#include <semaphore.h>

#include "client/util/background.h"

// A piece notes its name, waits until the test lets it go, and asks for more, as the test says.
struct job {
    struct background_task task;
    struct background *background;
    char name, *notes; // NULL: none
    _Atomic unsigned n_left, n_run, n_forked, n_gone;
    bool waits; // for GO, after it said STARTED
    _Atomic bool inside;
    sem_t started, go;
    uint64_t blocked; // signals
    pid_t tid;
};

uint64_t read_blocked(pid_t tid);
enum background_result run(struct background_task *t);
enum background_result run_and_go(struct background_task *t);
void gone(struct background_task *t);
void forked(struct background_task *t);
void job_init(struct job *j, struct background *b, unsigned n_pieces);
// A thread that is at J's first piece, until that is let go.
void start_at(struct background *b, struct job *j, unsigned n_pieces);
// A thread of the test.
struct waiter {
    struct background *b;
    _Atomic pid_t tid;
    _Atomic bool returned;
    bool any;
};

bool waiter_is_at_rest(void *data);
