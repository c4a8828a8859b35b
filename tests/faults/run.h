// A run of the script with a single fault, and the checks that follow it.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/faults/control.h"
#include "tests/faults/report.h"

enum target { TARGET_DAEMON, TARGET_CLIENT, TARGET_DIR, TARGET_N };

struct fault {
    enum target target;
    uint64_t at; // the call that fails; 0: none, the calls are counted
    unsigned variant;
    bool persistent;
};

// A run's directory, its processes, and what it found.  In memory that the driver and the run share.
struct run {
    struct fault fault;
    char dir[80], spill[176], socket[176], address[200], config[176], log[176], report_path[176], control_path[176];
    struct report *report;
    struct faults_control *control;
    pid_t daemon;         // 0: not running
    bool refused;         // the daemon did not start, and said why
    unsigned n_fds;       // of the daemon, when it had nothing to do
    char violation[1024]; // the first; "": all was well
    char log_end[2048];   // with a violation: the end of the daemon's log
};

// Runs all.  R->fault is given; N_FDS: descriptors that a daemon without faults has open, 0: not known.
void run_fault(struct run *r, unsigned n_fds);

// ---- For the parts of a run ----

__attribute__((format(printf, 2, 3))) void run_violation(struct run *r, const char *format, ...);

enum ended { ENDED_WELL, ENDED_BADLY, ENDED_NOT };

// Starts the daemon; true if it is ready.  False: it has ended, or a violation was noted.
bool daemon_begin(struct run *r, bool with_faults);
// Waits for the daemon's end after SIGTERM.
void daemon_end(struct run *r);
void daemon_kill(struct run *r);
// Runs the script ("run" or "verify").
void script_run(struct run *r, const char *what, bool with_faults);

// The faults have stopped: the daemon answers, and its charges are what is on disk.
void heal_check(struct run *r, unsigned n_fds);
// The charges are what is on disk, in the end.
void heal_check_charges(struct run *r);
