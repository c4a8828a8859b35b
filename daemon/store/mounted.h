// The mount that spill_dir_require_mount asks for.
#pragma once
#include <stdbool.h>

// Whether something is mounted at the directory.  PATH: of the directory; or "", and DIRFD is the directory.
bool store_is_mounted(int dirfd, const char *path);
