// Filling a disk to its end, and giving all of it back, again and again.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/loop_mount.h"

enum {
    LEFT_MIB = 3, // of the disk, beside a file that fills the rest
};

struct fill_disk {
    const char *type;
    struct test_mount mount;
    bool is_tmpfs;
    char spill[200], other[200]; // the directory for regions; a file of another program's, or ""
    char address[256];
};

// Sets the deadline of a test that fills so often, in place of the harness's.
void fill_set_deadline(unsigned cycles);
// $DISKALLOC_FILL_CYCLES, or some.
unsigned fill_n_cycles(void);
// Fills the disk as often at the address of DATA, a struct fill_disk: for test_in_child.
void fill_run_cycles(void *data);
// The same with a daemon, at d->address; nothing is charged then.
void fill_by_daemon(struct fill_disk *d);
