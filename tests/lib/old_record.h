// Records as earlier daemons wrote them.
#pragma once
#include "proto/spill/record.h"

// Gives the file the record R as version 1 had it: with the id of some other boot, and without the granted size.  0
// or -errno.
int old_record_write(int fd, const struct record *r);
// The same for each region in the directory, which has one folder a user.  Returns their number, or -errno.
int old_record_write_all(const char *spill);
