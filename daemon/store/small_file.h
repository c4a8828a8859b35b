// Small text files beside the regions: they are read at start and replaced as a whole.
#pragma once

// Reads the file NAME of the directory to *RET, which the caller frees.  0; -errno; -EFBIG: longer than 16 MiB.
int small_file_read(int dir_fd, const char *name, char **ret);
// Replaces it atomically and durably, by way of NAME.new.  0; 1: the last step failed, the directory's fsync, so that
// the new file is in place and may be lost in a crash; -errno: the old file is as it was.
int small_file_write(int dir_fd, const char *name, const char *text);
// Renames NAME to NAME.old, in the place of an earlier one.  0 or -errno.
int small_file_put_aside(int dir_fd, const char *name);
