// Connections that have ended: the last packets, and then what their clients had.  See the essay in leaving.c.
#pragma once
#include <stdbool.h>

struct conn;
struct conn_env;

void leaving_init(struct conn_env *env);
// Reads the packets that the client sent last.
void leaving_hear(struct conn *c);
// Takes C, which is in no list any more and has no socket and no events, and frees it now or later.
void leaving_take(struct conn *c);
// Goes on for a moment.  True: there is more to do.
bool leaving_serve(struct conn_env *env);
bool leaving_is_under_way(const struct conn_env *env);
void leaving_finish(struct conn_env *env); // all of it
