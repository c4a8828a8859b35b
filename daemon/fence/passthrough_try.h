// Whether the passthrough fence holds on this machine, tried at start.
#pragma once

struct passthrough;

// Tries P on an unnamed file of the directory DIR_FD.  0; or -errno and *RET_WHY says what does not hold, in static
// storage.
int passthrough_try(struct passthrough *p, int dir_fd, const char **ret_why);
