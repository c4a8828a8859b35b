// Small text files beside the regions: they are read at start and replaced as a whole.
#pragma once

// Opens the file NAME of the directory for reading.  The descriptor; -EISDIR, -ELOOP, -EINVAL: a directory, a symbolic
// link, or something else that is no such file, as a pipe or a region's file; -errno.  Does not wait for anybody.
int small_file_open(int dir_fd, const char *name);
// Reads the file NAME of the directory to *RET, which the caller frees.  0; -EFBIG: longer than 16 MiB; or as
// small_file_open.
int small_file_read(int dir_fd, const char *name, char **ret);
// Replaces it atomically and durably, by way of NAME.new.  An empty directory at either name is removed.  0; 1: the
// last step failed, the directory's fsync, so that the new file is in place and may be lost in a crash; -errno: the old
// file is as it was.
int small_file_write(int dir_fd, const char *name, const char *text);
// Renames NAME to NAME.old, in the place of an earlier one.  0 or -errno.
int small_file_put_aside(int dir_fd, const char *name);
