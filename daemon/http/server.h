// An HTTP server on the daemon's loop, over libevent's, with the bounds that libevent's has not.  See the essay in
// server.c.
#pragma once

struct event_base;
struct evhttp_request;
struct server;

// Serves the clients at FD, a listening socket that does not block.  ANSWER replies to each GET and HEAD by
// server_reply.  Takes FD.  NULL: no memory.
struct server *server_new(struct event_base *base, int fd, void (*answer)(void *data, struct evhttp_request *request),
                          void *data);
// To be called every few seconds: does what a timer did not do for want of memory.
void server_tick(struct server *s);
void server_free(struct server *s); // closes all connections; NULL is fine

struct evbuffer;
// Sends BODY (NULL: none) of this type and ends the connection.  Takes BODY.  SENTENCE says what CODE means.
void server_reply(struct evhttp_request *request, int code, const char *sentence, const char *type,
                  struct evbuffer *body);
