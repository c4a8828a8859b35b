// Two users who do what the protocol allows, or does not, as fast as they can and as often, while another user is
// served.
//
// When it is over nothing is left: no charge, no connection, no descriptor; and the log has stayed short.  The times
// and the daemon's memory are for the report.
//
// With $DISKALLOC_STORM_CPU the attackers stay on the processor of that number.  If the test is kept on another one
// (DISKALLOC_STORM_CPU=1 taskset -c 0 hostile-storms), the times tell how long the daemon makes others wait, and not
// how the scheduler shares the processors.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/bystander.h"
#include "tests/lib/test_daemon.h"

enum { STORM_ATTACKERS = 2, STORM_FIRST_UID = 1 }; // the attackers' uids follow each other

struct storm {
    const char *name;
    void (*once)(void);    // in a process of the attacker's, again and again
    void (*prepare)(void); // before all of that, and before times are taken; NULL: there is nothing to prepare
};

struct storm_place {
    const struct test_daemon *d;
    uint64_t bytes;                      // charged in total when nobody attacks
    void (*look)(void);                  // called while the attackers are at it; NULL: nothing is
    struct bystander_times beside_loops; // storm_compare's
};

// How the bystander fares beside as many processes that ask for nothing.  Before storms_run.
void storm_compare(struct storm_place *p);
// N of them, one after the other.  $DISKALLOC_STORM, a number from 0 on: this one alone, for whoever looks at it.
void storms_run(const struct storm_place *p, const struct storm *storms, size_t n);
