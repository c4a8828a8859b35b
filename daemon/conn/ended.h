// Sockets of connections that have ended, and that are not closed yet.  See the essay in ended.c.
#pragma once

struct conn;
struct conn_env;

int ended_init(struct conn_env *env); // 0 or -ENOMEM
void ended_deinit(struct conn_env *env);
// C ends: its socket is closed now, or when that harms nobody.  Until then the connection stays charged.
void ended_take(struct conn *c);
// The process ends by _exit: leaves the connections whose closing may hang to a child process.
void ended_abandon(struct conn_env *env);
