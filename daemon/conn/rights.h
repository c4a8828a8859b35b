// File descriptors that clients send, which the daemon never takes.  See the essay in rights.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Has the kernel refuse descriptors that anybody sends to SOCK from now on, or to the sockets that are accepted from
// SOCK.  True: that was so before.  False: packets that were sent before, or that an older kernel lets through, may
// bring some: use the functions below.
bool rights_refuse(int sock);
// Whether the next packet of SOCK brings descriptors.  Receives nothing.
bool rights_come_next(int sock);
// Before SOCK is closed: nobody can send to it any more, and its packets are dropped up to the first one that brings
// descriptors.  True: there is one, so that rights_close must close SOCK.
bool rights_remain(int sock);
// The N sockets FDS are closed by a child process; sorts FDS.  Returns the child's pid: the caller's descriptors are
// closed.  Or returns -errno: they are still open.
pid_t rights_close(int *fds, size_t n);
// Before the listening socket SOCK is closed: refuses the clients that wait there.
void rights_close_backlog(int sock);
