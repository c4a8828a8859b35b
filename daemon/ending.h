// The end of a daemon of which threads hang in the kernel.
#pragma once

struct store;

// Leaves the directory to the next daemon and ends the process, within a second.
_Noreturn void ending_leave(struct store *store, int status);
