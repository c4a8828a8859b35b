// Kinds of file systems, and whether an allocated block of theirs can always be stored to.
#pragma once
#include <sys/vfs.h>

// *RET_NAME: "ext4" or the like.  Returns the reason why storing to an allocated block may fail for want of space, or
// "". An unknown kind has a reason.  For btrfs the answer holds for files with No_COW only.  All is static storage.
const char *filesystem_classify(const struct statfs *fs, const char **ret_name);
