// The bytes that disks could grant.
#pragma once
#include <stdint.h>

struct disk;
struct user;

// Bytes that one of DISKS, a list, could grant now to a new region of USER, or of anybody (NULL).  Quotas are not
// considered.
uint64_t status_disk_left(struct disk *disks, const struct user *user);
