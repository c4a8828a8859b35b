// Connections that have ended: the last packets, and then what their clients had.  See the essay in leaving.c.
#pragma once
#include <stdbool.h>

struct conn;
struct conn_env;

void leaving_init(struct conn_env *env);
// The connection will end.  Others who need to know that regions are about to be detached know it from now on.
void leaving_note(struct conn *c);
// Reads some of the packets that the client sent last.  False: there is no more.
bool leaving_hear_some(struct conn *c);
// Takes C, which is in no list any more and has no socket and no events, and frees it now or later.
void leaving_take(struct conn *c);
// Goes on for a moment.  False: there was nothing to do.
bool leaving_serve(struct conn_env *env);
bool leaving_is_under_way(const struct conn_env *env);
void leaving_finish(struct conn_env *env); // all of it
