// A daemon whose threads, clock and disk do what a test says, step by step.  See the essay in machine.c.
#pragma once
#include "daemon/state.h"

#include "daemon/op/env.h"
#include "daemon/op/op.h"

enum { MACHINE_BLOCK = 4096, MACHINE_MOST_WORK = 64, MACHINE_USERS = 2 };
static const uid_t machine_uid[MACHINE_USERS] = {4242, 4243};

// Calls of the disk that can be made to fail.
enum disk_call { DISK_OPEN, DISK_ALLOCATE, DISK_TRUNCATE, DISK_LINK, DISK_UNLINK, DISK_XATTR, DISK_CALL_N, DISK_NONE };

struct machine_work {
    struct work *work;
    bool has_ended; // run has said WORK_DONE: done is to be called
};

struct machine {
    char dir[256], other_dir[256];
    struct file_ops ops;
    struct daemon d;
    struct daemon_disk disk, other;
    bool has_two_disks; // set before machine_start: other is in use
    struct user *user[MACHINE_USERS];
    uint64_t limit;               // bytes, of all users together
    uint64_t now;                 // ms, monotonic
    uint64_t wait_at, orphans_at; // when the two timers are due; UINT64_MAX: they are not set
    struct machine_work work[MACHINE_MOST_WORK];
    unsigned n_work;
    enum disk_call failing; // the next call of this kind fails, once
    bool has_failed;
    bool may_leave_files; // a failure, in this schedule: what a move could not remove stays until the next start
    unsigned calls_left;  // changes of the disk until the daemon is killed; UINT_MAX: any number
    bool is_dead;         // nothing reaches the disk any more
};
extern struct machine machine;

void machine_open(void); // makes the spill directory
void machine_close(void);
void machine_start(void); // a daemon starts, and finds what the last one has left
// The daemon was killed: what is not on the disk is lost.  The peers must have gone.
void machine_kill(void);
void machine_run(unsigned i);     // one piece of the work
void machine_deliver(unsigned i); // the work's done()
void machine_wait_timer(void);
void machine_orphans_timer(void);
uint64_t machine_next_timer(void); // UINT64_MAX: none
struct op *machine_op(unsigned i);
struct disk *machine_disk(unsigned number);
// Removes the files of a region from both disks, wherever they are.
void machine_remove_files(const struct handle *handle);
