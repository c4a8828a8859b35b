// See raw_client.h.
#include "tests/lib/raw_client.h"

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

#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"

struct raw_handle raw_handle_new(void)
{
    struct raw_handle h;

    if (getrandom(h.bytes, sizeof(h.bytes), 0) != (ssize_t)sizeof(h.bytes))
        abort();
    return h;
}

struct raw_handle raw_handle_of(const char *text)
{
    struct raw_handle h = {0};

    for (size_t i = 0; i < sizeof h.bytes; i++)
        if (sscanf(text + 2 * i, "%2hhx", &h.bytes[i]) != 1)
            abort();
    return h;
}

ProtobufCBinaryData raw_bytes(const struct raw_handle *h)
{
    return (ProtobufCBinaryData){.len = sizeof(h->bytes), .data = (uint8_t *)h->bytes};
}

ProtobufCBinaryData raw_text(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

void raw_free(RawReply *reply)
{
    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
}

int raw_code(const RawReply *reply)
{
    if (!reply)
        return RAW_CODE(PROTOCOL);
    return reply->error ? (int)reply->error->code : RAW_CODE(OK);
}

uint64_t raw_send(struct raw *c, RawRequest *q)
{
    uint8_t bytes[4096];

    q->id = ++c->last_id;
    if (diskalloc__v1__request__get_packed_size(q) > sizeof(bytes))
        return 0;
    return packet_send(c->sock, bytes, diskalloc__v1__request__pack(q, bytes), -1, 0) < 0 ? 0 : q->id;
}

RawReply *raw_receive(struct raw *c)
{
    uint8_t *bytes = malloc(PACKET_MAX);
    RawReply *reply = NULL;
    ssize_t n = -1;
    int fd = -1;

    if (bytes)
        n = packet_receive(c->sock, bytes, PACKET_MAX, 0, &fd);
    if (n > 0)
        reply = diskalloc__v1__reply__unpack(NULL, (size_t)n, bytes);
    if (fd >= 0)
        close(fd);
    free(bytes);
    return reply;
}

bool raw_has_reply(const struct raw *c)
{
    struct pollfd p = {.fd = c->sock, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

RawReply *raw_answer(struct raw *c)
{
    RawReply *reply;

    while ((reply = raw_receive(c)) && reply->id == 0 && !reply->error) {
        c->n_events++;
        raw_free(reply);
    }
    return reply;
}

RawReply *raw_call(struct raw *c, RawRequest *q)
{
    return raw_send(c, q) == 0 ? NULL : raw_answer(c);
}

int raw_done(struct raw *c, RawRequest *q)
{
    RawReply *reply = raw_call(c, q);
    int code = raw_code(reply);

    raw_free(reply);
    return code;
}

void raw_close(struct raw *c)
{
    if (c->sock >= 0)
        close(c->sock);
    c->sock = -1;
}

bool raw_connect(struct raw *c, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *c = (struct raw){.sock = -1};
    if (strlen(path) >= sizeof(address.sun_path))
        return false;
    c->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    return c->sock >= 0 && connect(c->sock, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static int hello_with(struct raw *c, uint64_t features)
{
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    hello.version_min = hello.version_max = 1;
    hello.client_name = raw_text("raw");
    hello.features = features;
    q.body_case = RAW_BODY(HELLO);
    q.hello = &hello;
    return raw_done(c, &q);
}

int raw_hello(struct raw *c)
{
    return hello_with(c, 0);
}

int raw_open_with(struct raw *c, const char *path, uint64_t features)
{
    return raw_connect(c, path) ? hello_with(c, features) : RAW_CODE(PROTOCOL);
}

int raw_open(struct raw *c, const char *path)
{
    return raw_open_with(c, path, 0);
}

int raw_create(struct raw *c, const struct raw_handle *h, uint64_t size)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    return raw_done(c, &q);
}

int raw_create_named(struct raw *c, const char *name, const struct raw_handle *h, uint64_t size)
{
    Diskalloc__V1__OpenRegion body = DISKALLOC__V1__OPEN_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.name = raw_text(name);
    body.handle = raw_bytes(h);
    body.size = size;
    body.mode = 0600;
    body.flags = DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &body;
    return raw_done(c, &q);
}

uint64_t raw_send_grow(struct raw *c, const struct raw_handle *h, uint64_t size, uint64_t wait_ms)
{
    Diskalloc__V1__GrowRegion body = DISKALLOC__V1__GROW_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    body.wait_ms = wait_ms;
    q.body_case = RAW_BODY(GROW_REGION);
    q.grow_region = &body;
    return raw_send(c, &q);
}

int raw_grow(struct raw *c, const struct raw_handle *h, uint64_t size)
{
    RawReply *reply;
    int code;

    raw_send_grow(c, h, size, 0);
    reply = raw_answer(c);
    code = raw_code(reply);
    raw_free(reply);
    return code;
}

int raw_shrink(struct raw *c, const struct raw_handle *h, uint64_t size, uint64_t known)
{
    Diskalloc__V1__ShrinkRegion body = DISKALLOC__V1__SHRINK_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    body.known_size = known;
    q.body_case = RAW_BODY(SHRINK_REGION);
    q.shrink_region = &body;
    return raw_done(c, &q);
}

uint64_t raw_send_cancel(struct raw *c, uint64_t target)
{
    Diskalloc__V1__Cancel body = DISKALLOC__V1__CANCEL__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.target = target;
    q.body_case = RAW_BODY(CANCEL);
    q.cancel = &body;
    return raw_send(c, &q);
}

int raw_remove(struct raw *c, const struct raw_handle *h, bool force)
{
    Diskalloc__V1__RemoveRegion body = DISKALLOC__V1__REMOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.force = force;
    q.body_case = RAW_BODY(REMOVE_REGION);
    q.remove_region = &body;
    return raw_done(c, &q);
}

int raw_set_quota(struct raw *c, const char *subject, const char *key, const char *text)
{
    Diskalloc__V1__QuotaSetting setting = DISKALLOC__V1__QUOTA_SETTING__INIT, *settings[] = {&setting};
    Diskalloc__V1__SetQuota body = DISKALLOC__V1__SET_QUOTA__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    setting.key = raw_text(key);
    setting.text = raw_text(text);
    body.subject = raw_text(subject);
    body.n_settings = 1;
    body.settings = settings;
    q.body_case = RAW_BODY(SET_QUOTA);
    q.set_quota = &body;
    return raw_done(c, &q);
}

int raw_unset_quota(struct raw *c, const char *subject, const char *key)
{
    Diskalloc__V1__UnsetQuota body = DISKALLOC__V1__UNSET_QUOTA__INIT;
    ProtobufCBinaryData name = raw_text(key ? key : "");
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text(subject);
    body.n_keys = key ? 1 : 0;
    body.keys = &name;
    q.body_case = RAW_BODY(UNSET_QUOTA);
    q.unset_quota = &body;
    return raw_done(c, &q);
}

RawReply *raw_usage(struct raw *c, const char *subject)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text(subject);
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    return raw_call(c, &q);
}

int raw_disconnect_user(struct raw *c, const char *user, uint64_t *ret_connections)
{
    Diskalloc__V1__DisconnectUser body = DISKALLOC__V1__DISCONNECT_USER__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    int code;

    body.user = raw_text(user);
    q.body_case = RAW_BODY(DISCONNECT_USER);
    q.disconnect_user = &body;
    reply = raw_call(c, &q);
    code = raw_code(reply);
    if (code == RAW_CODE(OK))
        *ret_connections = reply->disconnected->connections;
    raw_free(reply);
    return code;
}

int raw_quota_text(struct raw *c, const char *subject, const char *key, char *ret, size_t size)
{
    Diskalloc__V1__ListQuota body = DISKALLOC__V1__LIST_QUOTA__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    int code;

    *ret = '\0';
    q.body_case = RAW_BODY(LIST_QUOTA);
    q.list_quota = &body;
    reply = raw_call(c, &q);
    code = raw_code(reply);
    for (size_t i = 0; code == RAW_CODE(OK) && i < reply->quota_list->n_entries; i++) {
        const Diskalloc__V1__QuotaEntry *e = reply->quota_list->entries[i];

        if (e->subject.len != strlen(subject) || memcmp(e->subject.data, subject, e->subject.len) != 0)
            continue;
        for (size_t k = 0; k < e->n_values; k++)
            if (e->values[k]->key.len == strlen(key) && !memcmp(e->values[k]->key.data, key, strlen(key)))
                snprintf(ret, size, "%.*s %.*s", (int)e->values[k]->text.len, (char *)e->values[k]->text.data,
                         (int)e->values[k]->origin.len, (char *)e->values[k]->origin.data);
    }
    raw_free(reply);
    return code;
}
