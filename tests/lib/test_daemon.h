// A real diskallocd in a private directory.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct test_daemon {
    char dir[128];     // private; holds the files below
    char socket[160];  // DIR/socket
    char address[176]; // unix:SOCKET
    char spill[160];   // DIR/spill, or the spill directory that the test gave; "": the configuration names some
    char config[160];  // DIR/diskallocd.conf
    char log[160];     // DIR/log: the daemon's stderr
    pid_t pid;         // 0: not running
};

// Starts the built diskallocd.  CONFIG_TEXT: the text of its configuration file (NULL: only keep_free = 0); socket and
// spill_dir are given on the command line.  SPILL: the spill directory (NULL: DIR/spill; "": those in CONFIG_TEXT).
// The daemon is ready when this returns: it has sent READY=1 by sd_notify.  It dies with the test (PR_SET_PDEATHSIG).
// The test fails when the daemon does not start.
void test_daemon_start(struct test_daemon *d, const char *config_text, const char *spill);
// Whether a daemon with this configuration starts on this machine.
bool test_daemon_can_start(const char *config_text);
// PREPARE is called in the process of each daemon that is started from now on, before diskallocd; NULL: nothing is.
void test_daemon_prepare(void (*prepare)(void));
// Starts the daemon again in the same directory with the same configuration, after test_daemon_kill or
// test_daemon_stop.
void test_daemon_restart(struct test_daemon *d);
// Sends SIGNAL and waits for the daemon's end; does not look at its exit status.
void test_daemon_kill(struct test_daemon *d, int signal);
// Halts the daemon by SIGSTOP: when this returns, none of its threads runs; and lets it go on.
void test_daemon_halt(const struct test_daemon *d);
void test_daemon_go_on(const struct test_daemon *d);
// Sends SIGTERM; the test fails unless the daemon exits with 0.  Keeps the directory.
void test_daemon_stop(struct test_daemon *d);
// Stops the daemon as test_daemon_stop does, if it runs, and removes the directory.
void test_daemon_stop_and_remove(struct test_daemon *d);
// Starts the daemon and expects it to refuse.  Returns its exit status; the log says why it refused.
int test_daemon_start_expecting_failure(struct test_daemon *d, const char *config_text, const char *spill);

// True when the log has TEXT in it.
bool test_daemon_logged(const struct test_daemon *d, const char *text);
// The daemon's memory, in MiB; -1: it does not run.
long test_daemon_resident_mib(const struct test_daemon *d);
