// Another client of a daemon that is under attack: it must be served as if nothing happened.
#pragma once
#include <stdint.h>
#include <sys/types.h>

struct bystander_times {
    uint64_t median_us, p99_us;
    // Of the same grows, until the daemon had sent the reply, as the kernel stamps it: without the wait of the client
    // for a processor, which the daemon cannot shorten.
    uint64_t answer_median_us, answer_p99_us;
};

// N grows by 1 MiB, of a region that the user UID (-1: this user) makes; asserts that each one succeeds.  The region
// is made anew after each 16 MiB.
struct bystander_times bystander_grow(const char *socket, uid_t uid, unsigned n);
// The same, while N_LOOPS processes of other users use the processors and ask the daemon for nothing.
struct bystander_times bystander_grow_beside_loops(const char *socket, uid_t uid, unsigned n, unsigned n_loops);
// Prints them, for whoever compares machines: no test asserts on time.  BESIDE_LOOPS: with as many loops as there are
// attackers, so that the difference is the daemon's part; that is QUIET where the attackers do nothing meanwhile.
void bystander_print(const char *attack, struct bystander_times quiet, struct bystander_times beside_loops,
                     struct bystander_times meanwhile);
// As /proc says.
uint64_t process_rss_kib(pid_t pid);
unsigned process_count_fds(pid_t pid);
// For test_daemon_prepare: the process may open few files, and has not the rights by which root may have more of them
// in flight.
void process_limit_files(void);
