// Where metrics and the page are served (metrics_listen).
#pragma once
#include <sys/types.h>

struct event_base;
struct http;
struct request_env;

int http_new(struct event_base *base, struct request_env *env, struct http **ret); // 0 or -ENOMEM
void http_free(struct http *h);                                                    // NULL is fine

// From now on serves at ADDRESS and nowhere else: HOST:PORT of this machine, or the path of a socket with these
// permissions and this group ((gid_t)-1: the process's own).  NULL: serves nowhere.  If that fails, the log says so,
// and http_tick tries again.
void http_listen(struct http *h, const char *address, unsigned mode, gid_t group);
void http_tick(struct http *h); // to be called every few seconds
