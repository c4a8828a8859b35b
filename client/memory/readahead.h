// How far the kernel reads ahead of accesses to a region's file.  See readahead.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Has the kernel read ahead in steps that leave large pages whole, where the disk's own setting cuts them.  FD is the
// file that is about to be mapped; nothing happens if the disk or its setting is not known.
void readahead_keep_large(int fd);
// Whether steps of KIB would cut large pages: a setting of a disk.
bool readahead_cuts_large(uint64_t kib);
