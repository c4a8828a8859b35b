// The head of an HTTP request.  Pure.
#pragma once

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_request {
    enum http_method method;
    const char *path;   // without the query
    const char *host;   // without the port; NULL: none was named
    const char *accept; // NULL: there was no such header
};

// Reads TEXT, up to and without the empty line, and writes NULs into it, so that RET can point there.  0; or the status
// of the reply that refuses it.
int http_request_parse(char *text, struct http_request *ret);
