// The first disk, which keeps the files that are of no single disk: quotas set at run time, and grace periods.
#pragma once

struct daemon;
struct disk;

// Blocks: at start only, when the quotas of the first disk were read.  Takes over what other disks have of these files,
// because they were the first one before.  A failure is logged.
void home_settle(struct daemon *d);
// While the daemon runs: takes over the quotas of a disk that was added.  Done on a worker.  A failure is logged.
void home_take_over(struct daemon *d, struct disk *disk);
// After a reload: the same of disks whose quotas could not be taken over, because of a mistake in the file.
void home_try_again(struct daemon *d);
