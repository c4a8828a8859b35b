// The protocol, one packet at a time: for tests that keep many requests in flight, need another uid, or look at a
// reply. Functions here return NULL or a code when they fail; the callers assert, for they may be tests or children.
#pragma once
#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef Diskalloc__V1__Request RawRequest;
typedef Diskalloc__V1__Reply RawReply;
#define RAW_REQUEST_INIT DISKALLOC__V1__REQUEST__INIT
#define RAW_BODY(name) DISKALLOC__V1__REQUEST__BODY_##name
#define RAW_CODE(name) DISKALLOC__V1__ERROR_CODE__##name

struct raw {
    int sock;
    uint64_t last_id;
    unsigned n_events; // that raw_answer met
};

struct raw_handle {
    uint8_t bytes[16];
};

struct raw_handle raw_handle_new(void);
struct raw_handle raw_handle_of(const char *text); // as diskalloc_region_handle has it
ProtobufCBinaryData raw_bytes(const struct raw_handle *h);
ProtobufCBinaryData raw_text(const char *text);
void raw_free(RawReply *reply);
// The code of the daemon's answer: OK when the request was done, PROTOCOL when no answer came.
int raw_code(const RawReply *reply);
// Its id, or 0.
uint64_t raw_send(struct raw *c, RawRequest *q);
bool raw_has_reply(const struct raw *c);
// The next message, events too; NULL when the connection has ended.
RawReply *raw_receive(struct raw *c);
// As raw_receive, and counts events.
RawReply *raw_answer(struct raw *c);
// For clients with one request in flight.
RawReply *raw_call(struct raw *c, RawRequest *q);
int raw_done(struct raw *c, RawRequest *q);
void raw_close(struct raw *c);
bool raw_connect(struct raw *c, const char *path); // and says nothing yet
int raw_hello(struct raw *c);                      // 0, or an error code of the protocol
// Both.
int raw_open(struct raw *c, const char *path);
int raw_open_with(struct raw *c, const char *path, uint64_t features); // it knows these
int raw_create(struct raw *c, const struct raw_handle *h, uint64_t size);
// Makes the region NAME of the connection's user.
int raw_create_named(struct raw *c, const char *name, const struct raw_handle *h, uint64_t size);
// Grows a region, or finds it that large: for clients with one request in flight.
int raw_grow(struct raw *c, const struct raw_handle *h, uint64_t size);
// The request's id; the reply comes when it comes.
uint64_t raw_send_grow(struct raw *c, const struct raw_handle *h, uint64_t size, uint64_t wait_ms);
int raw_shrink(struct raw *c, const struct raw_handle *h, uint64_t size, uint64_t known);
uint64_t raw_send_cancel(struct raw *c, uint64_t target);
int raw_remove(struct raw *c, const struct raw_handle *h, bool force);
int raw_set_quota(struct raw *c, const char *subject, const char *key, const char *text);
// KEY NULL: all of the subject's.
int raw_unset_quota(struct raw *c, const char *subject, const char *key);
// To be freed; its usage is there when raw_code says OK.
RawReply *raw_usage(struct raw *c, const char *subject);
int raw_disconnect_user(struct raw *c, const char *user, uint64_t *ret_connections);
// A value of the first page, and where it comes from: "TEXT ORIGIN"; "" when it is not listed.
int raw_quota_text(struct raw *c, const char *subject, const char *key, char *ret, size_t size);
