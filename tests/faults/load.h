// Programs at work on a disk that a test lets refuse, fail and be well again.
#pragma once
#include <diskalloc/client.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/lib/loop_mount.h"
#include "tests/lib/test_daemon.h"

enum { PROGRAMS = 3 };

// Words of the programs, and words to them.
struct load {
    atomic_bool stop;
    atomic_uint n_done, n_refused; // calls
};

struct load_scene {
    struct test_mount mount;
    char spill[200];
    struct test_daemon daemon;
    struct load *load;
    pid_t programs[PROGRAMS];
    unsigned least; // of the counter that is waited for
};

// Starts a daemon on what is mounted at s->mount, and the programs; waits until they have done something.
void load_begin(struct load_scene *s);
// Waits for some more calls that succeed, or are refused.
void load_await_done(struct load_scene *s);
void load_await_refused(struct load_scene *s);
// MAY_LOSE: the disk has lost writes, or is gone: memory on it may raise SIGBUS, and lose what was stored.
void load_end_programs(struct load_scene *s, bool may_lose);
// Nothing is charged and nothing is left of programs that have ended.
void load_check_empty(struct load_scene *s);
void load_finish(struct load_scene *s);
// The disk is well again: everything goes on, and ends.
void load_end_well(struct load_scene *s, bool may_lose);
// Runs a command with AT as its %1$s.
bool load_shell(const char *format, const char *at);
