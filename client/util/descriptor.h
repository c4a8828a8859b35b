// Descriptors that the library keeps from one call to the next, and how it tells them from the program's.
//
// A program may close descriptors that it does not know (daemons do so when they start) and open files of its own,
// which then get the same numbers.  So the library notes for each descriptor what file it is, and looks before each
// use and before closing.  A number that stands for something else by now is the program's: the library must not
// write to it, change its file, or close it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct descriptor {
    int fd;          // -1: none
    bool is_socket;  // number is SO_COOKIE, and the others are not used
    int access;      // O_RDONLY, O_WRONLY or O_RDWR
    uint32_t type;   // of the file, in the bits of st_mode
    uint64_t device; // st_dev
    uint64_t number; // st_ino
};

#define DESCRIPTOR_NONE ((struct descriptor){.fd = -1})

// The same file under a number above those of standard input, output and error, which a program may have closed, and
// may use all the same: what it prints must not go to a file of the library's.  Returns FD if no other number can be
// had, or FD is none.
int descriptor_above_standard(int fd);
// D owns FD from here on, and may have it under another number.  0; -errno: FD can't be identified, was closed, and D
// is DESCRIPTOR_NONE.  Files, pipes and sockets; not eventfd, timerfd and epoll, which all share one inode.
int descriptor_keep(struct descriptor *d, int fd);
// True if D has a descriptor, and its number still stands for what it was.  Do not use the number otherwise.
bool descriptor_is_ours(const struct descriptor *d);
// 1: it is ours; 0: it is not; -errno: the kernel does not say (a network file system may fail there).  For callers
// who would open the file once more: locks of the first descriptor would keep the second one out.
int descriptor_check(const struct descriptor *d);
// Closes the descriptor if it is still ours.  D becomes DESCRIPTOR_NONE.
void descriptor_close(struct descriptor *d);
// The same, but D remembers what file it was, for descriptor_replace.
void descriptor_lose(struct descriptor *d);

// Whether the file system that D is on has ended, so that nothing but mapping can be done with D.
bool descriptor_is_dead(const struct descriptor *d);
// The same number stands for OPENED, which is the same file, from here on; OPENED is closed.  0 or -errno.
int descriptor_revive(struct descriptor *d, int opened);
// OPENED replaces a descriptor that was lost, if OPENED is the same file.  0; -ESTALE: it is another file,
// and was closed; -errno.
int descriptor_replace(struct descriptor *d, int opened);
// Opens the file again that is mapped from its first byte on at ADDRESS: root can do so for any file, others if the
// file still has its name.  0, or -EBADF with the reason noted.
int descriptor_reopen(struct descriptor *d, const void *address);
