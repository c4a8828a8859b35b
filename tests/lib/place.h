// A daemon with a connection of root's, which sees what an administrator sees.
#pragma once
#include "tests/lib/raw_client.h"
#include "tests/lib/test_daemon.h"

struct place {
    struct test_daemon d;
    struct raw root;
};

void place_start(struct place *p, const char *config);
// All regions must be on their way: waits until the daemon has none, and removes the daemon's files.
void place_stop(struct place *p);
