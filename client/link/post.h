// A request that no thread waits for.  See post.c.
#pragma once
#include "client/link/link.h"

// Sends Q.  C is in flight until link_collect or link_drop.  0; -EAGAIN: it can't be sent now.
int link_post(struct link *link, WireRequest *q, struct call *c);
// 0 and RET is to be given to answer_deinit; -EPIPE: the connection was lost, and nobody knows whether the request
// was carried out; -EAGAIN, if not WAIT: there is no reply yet, and C stays in flight.
int link_collect(struct link *link, struct call *c, bool wait, struct answer *ret);
// Forgets C: nobody wants the reply.
void link_drop(struct link *link, struct call *c);
