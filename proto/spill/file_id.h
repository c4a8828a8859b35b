// Which file a record was written for.
#pragma once
#include <stdint.h>
#include <sys/stat.h>

// A number that the file of FD has and its copies have not, also where a copy has the same inode number on another file
// system, or got the number of a file that was removed: the inode number and the time at which the file was made,
// which cp and rsync can't set.  Where the file system keeps no such time, the inode number.  ST: of FD.  Never 0.
uint64_t file_id(int fd, const struct stat *st);
