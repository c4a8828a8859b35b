// The pages that are served: /metrics, the page at /, and the state that the page asks for.
#pragma once

struct guest;
struct http_request;
struct request_env;
struct site;

struct site *site_new(struct request_env *env); // NULL: no memory
void site_free(struct site *s);                 // NULL is fine
// DATA: the struct site.  For server_new.
void site_answer(void *data, struct guest *g, const struct http_request *request);
