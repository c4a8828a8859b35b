// The listening socket: made here, or handed over by systemd.
#pragma once
#include <stdbool.h>

struct conn_env;
struct event_base;
struct listener;

// Listens at PATH with MODE.  A socket that nobody answers at is taken over.
// 0, or -errno with a sentence in *RET_ERROR, to be freed; -EADDRINUSE: somebody answers there.
int listener_open(struct event_base *base, struct conn_env *conns, const char *path, unsigned mode,
                  struct listener **ret, char **ret_error);
// On FD, which systemd made: it stays at its place when this closes.
int listener_from_fd(struct event_base *base, struct conn_env *conns, int fd, struct listener **ret, char **ret_error);
// A descriptor has become free: an accept that waited for one goes on.
void listener_resume(struct listener *l);
void listener_close(struct listener *l);
