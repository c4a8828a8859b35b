// The lock and the reserve: files of the spill directory that the daemon keeps open and changes in place.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Whether the daemon may write to the open file FD and cut it: a regular file with one name, of MAX_SIZE bytes at most,
// that is no region's.
bool own_file_is_fit(int fd, uint64_t max_size);
// Whether something lies at NAME that is no regular file: a directory, a symbolic link, a pipe, a device.
bool own_file_is_odd(int dir_fd, const char *name);
// Opens the file NAME of the directory for reading and writing, or makes it.  The descriptor; -EEXIST: something else
// lies there, which the daemon must not change; -errno.  Does not wait for anybody.
int own_file_open(int dir_fd, const char *name, uint64_t max_size);
// Removes what else lies there, if nothing is lost by that: a further name of a file, a symbolic link, a pipe, an empty
// directory.  0; -EEXIST: something would be lost; -errno.
int own_file_clear(int dir_fd, const char *name);
