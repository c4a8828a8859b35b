// The mount that spill_dir_require_mount asks for, and the service manager, which hides mounts.
#pragma once
#include <stdbool.h>

// Whether systemd has started this process, as a service.
bool store_is_run_by_systemd(void);
// Whether something is mounted at the directory.  PATH: of the directory; or "", and DIRFD is the directory.
bool store_is_mounted(int dirfd, const char *path);
