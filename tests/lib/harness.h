// What every test stands on: a real daemon in a private directory, files and descriptors counted around each test.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

struct test_daemon {
    char dir[128];     // private; holds everything below
    char socket[160];  // DIR/socket
    char address[176]; // unix:SOCKET
    char spill[160];   // DIR/spill, unless another was given
    char config[160];  // DIR/diskallocd.conf
    char log[160];     // DIR/log: the daemon's stderr
    pid_t pid;
};

// Where tests may put big files: $DISKALLOC_TEST_DIR, else /var/tmp.
const char *test_base_dir(void);

// Starts the built diskallocd with CONFIG_TEXT (lines of the configuration; socket and spill_dir are given on the command
// line; NULL: keep_free = 0 only) on SPILL (NULL: DIR/spill).  It is ready when this returns (its sd_notify READY=1 came,
// no sleep), and it dies with the test (PR_SET_PDEATHSIG).  Fails the test when it does not start.
void test_daemon_start(struct test_daemon *d, const char *config_text, const char *spill);
// The same directory and configuration again, after test_daemon_kill or test_daemon_stop.
void test_daemon_restart(struct test_daemon *d);
void test_daemon_kill(struct test_daemon *d, int signal); // and waits; does not look at the status
// SIGTERM; fails the test unless it exits 0.  Removes the directory.
void test_daemon_stop_and_remove(struct test_daemon *d);
// SIGTERM; fails the test unless it exits 0.  Keeps the directory.
void test_daemon_stop(struct test_daemon *d);
// Whether the log has TEXT in it.
bool test_daemon_logged(const struct test_daemon *d, const char *text);
// Starts it and waits for it to refuse: its exit status; the log says why.
int test_daemon_start_expecting_failure(struct test_daemon *d, const char *config_text, const char *spill);

// Regular files below the spill directory whose names do not begin with a dot: regions.
size_t test_count_files(const char *dir);
// Sum of their sizes rounded up to 4 KiB.
uint64_t test_sum_sizes(const char *dir);

// Runs CONDITION(data) until it is true, with pauses that grow from 100 µs to 10 ms; fails the test after SECONDS.
void test_wait_until(bool (*condition)(void *data), void *data, unsigned seconds, const char *what);

// A file system of SIZE bytes in a file, mounted by loop: "ext4", "xfs", "btrfs".  False, with the reason printed, where that
// cannot be had (not root, no loop, no mkfs); RET gets the mount point.
struct test_mount {
    char image[160], at[160];
    bool mounted;
};
bool test_mount(struct test_mount *m, const char *type, uint64_t size);
void test_unmount(struct test_mount *m);

// Runs FN(data) in a child, as UID when that is not -1.  Returns wait's status. The child's failed assertions count as exit status 1.
int test_in_child(void (*fn)(void *data), void *data, uid_t uid);

// Setup and teardown around each test: a deadline (120 s, 10 times that under a sanitizer or valgrind, then SIGALRM kills it with
// the test's name), and as many open descriptors after it as before.
int test_setup(void **state);
int test_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

// Ends this test binary as skipped (77) with the reason.
_Noreturn void test_skip_all(const char *why);
