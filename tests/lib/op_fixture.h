// For the tests of operations: a store whose calls fail when they are told to, and operations that are run to their
// end.
#pragma once
#include "daemon/disk.h"
#include "daemon/op/env.h"
#include "daemon/op/op.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/request/peer.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/clock.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { OWNER = 4242 };

// The next failure: the COUNTDOWN-th call from now of any kind that KIND allows.
enum fault_kind {
    NO_FAULT,
    OPEN,
    ALLOCATE,
    TRUNCATE,
    LINK,
    UNLINK,
    SET_XATTR,
    STAT_FS,
    SYNC,
    FAULT_KIND_N,
    EVERY = FAULT_KIND_N, // a call of any of these kinds: as if the daemon had been killed
};
extern _Atomic(enum fault_kind) fault_kind;
extern _Atomic int fault_countdown, fault_error, n_faults;

// From the one meant on all fail: a full disk is still full when it is asked again.
bool fails(enum fault_kind kind);
struct fixture {
    char dir[128];
    struct event_base *base;
    struct event *waiting;
    bool is_asleep; // nothing wakes operations that wait
    struct quota *quota;
    struct user_table *users;
    struct user *owner;
    struct region_table regions;
    struct disk disk;
    struct op_env env;
    struct file_ops ops;
    struct peer peer;
};

void fixture_init(struct fixture *f);
void turn_until(struct fixture *f, const bool *flag);
void fixture_deinit(struct fixture *f);
void set_done(struct op *op);
// Runs it to its end; closes the fd it brought.
int run_op(struct fixture *f, struct op *op);
int create(struct fixture *f, const char *name, uint64_t size, struct region **ret);
int resize(struct fixture *f, struct region *r, uint64_t size);
int commit(struct fixture *f, struct region *r, uint64_t used, bool durable);
int open_it(struct fixture *f, struct region *r);
uint64_t charged(struct fixture *f);
void expect_consistent(struct fixture *f, uint64_t expected_bytes, uint64_t expected_regions);
void inject(enum fault_kind kind, int nth, int error);
static const int errors[] = {ENOSPC, EIO, EMFILE, EDQUOT};
enum { N_ERRORS = sizeof errors / sizeof *errors };

// The result of an operation when the file system failed with ERROR.
int told(int error);

#define FOR_EACH_FAULT(kind, error)                                      \
    for (enum fault_kind kind = OPEN; kind < FAULT_KIND_N; kind++)       \
        for (int error##_i = 0, error = errors[0]; error##_i < N_ERRORS; \
             error##_i++, error = errors[error##_i % N_ERRORS])
