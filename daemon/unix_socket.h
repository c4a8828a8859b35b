// Listening sockets with a path in the file system.
#pragma once
#include <sys/types.h>

// Binds SOCK, a socket of AF_UNIX, to PATH, and listens.  MODE are the permissions of the file.  Replaces a socket at
// which nobody listens.  *RET_INODE: for unix_socket_remove.
// 0; or -errno, and *RET_ERROR is a sentence, to be freed; -EADDRINUSE: another process listens there.
int unix_socket_listen(int sock, const char *path, unsigned mode, ino_t *ret_inode, char **ret_error);
// Removes the socket that was bound there, but not that of a successor at the same path.
void unix_socket_remove(const char *path, ino_t inode);
