// The listening socket: made by the daemon, or handed over by systemd.
#pragma once
#include <stdbool.h>

struct conn_env;
struct event_base;
struct listener;

// Listens at PATH; MODE are the socket's permissions.  Replaces a socket at which nobody listens.
// 0, or -errno and in *RET_ERROR a sentence, to be freed; -EADDRINUSE: another daemon listens there.
int listener_open(struct event_base *base, struct conn_env *conns, const char *path, unsigned mode,
                  struct listener **ret, char **ret_error);
// Listens on FD, which systemd made and names in the file system: closing the listener leaves the socket there.
int listener_from_fd(struct event_base *base, struct conn_env *conns, int fd, struct listener **ret, char **ret_error);
// A descriptor has become free: ends a pause in accepting.
void listener_resume(struct listener *l);
void listener_close(struct listener *l); // NULL is fine
