// The rules that a conversation with the daemon's HTTP server keeps.  Pure: see http_rules.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum {
    HTTP_HEAD_MOST = 8192,  // bytes of a request that the server reads
    HTTP_REPLY_MOST = 2048, // bytes that are kept of a reply: more than its head has
};

// A connection that has ended.
struct http_talk {
    const char *sent; // the first bytes that the client has sent
    size_t n_sent;    // at most HTTP_HEAD_MOST
    const char *got;  // the first bytes that have come back
    size_t n_got;     // at most HTTP_REPLY_MOST
    size_t n_all;     // bytes that have come back
    bool may_be_cut;  // a deadline, or a client that came later, may have ended it
};

// Ends the program unless the server has kept the rules.
void http_rules_check(const struct http_talk *t);
