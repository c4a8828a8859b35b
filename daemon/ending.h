// The end of a daemon of which threads hang in the kernel.
#pragma once

struct disk;

// Leaves the directories of DISKS, a list, to the next daemon and ends the process, within two seconds.
_Noreturn void ending_leave(const struct disk *disks, int status);
