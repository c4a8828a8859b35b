// The bytes that disks could grant.
#pragma once
#include <stdint.h>

struct disk;

// Bytes that one of DISKS, a list, could grant now to a new region; limits of the configuration are not considered.
uint64_t status_disk_left(const struct disk *disks);
