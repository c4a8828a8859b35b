// A small HTTP server on the daemon's loop, whose clients can't hold up the daemon's other clients.  See the essay in
// server.c.
#pragma once

struct evbuffer;
struct event_base;
struct guest;
struct http_request;
struct server;

// Serves the clients at FD, a listening socket that does not block.  ANSWER replies to each GET and HEAD, by
// server_reply.  Takes FD.  NULL: no memory.
struct server *server_new(struct event_base *base, int fd,
                          void (*answer)(void *data, struct guest *guest, const struct http_request *request),
                          void *data);
// To be called every few seconds: does what a timer did not do for want of memory.
void server_tick(struct server *s);
void server_free(struct server *s); // closes all connections; NULL is fine

// HEADERS are lines that end in CR and LF, beside those that each reply has.  BODY NULL: SENTENCE is sent.  Takes BODY.
void server_reply(struct guest *g, int code, const char *headers, struct evbuffer *body, const char *sentence);
