// A connection to a daemon, with blocking calls: see session.h.
#include "client/ctl/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/version.h"

static int connect_to(const char *path, int timeout_seconds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = timeout_seconds};
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return steal_fd(&fd);
}

static int hello_refused(struct session *s, const Diskalloc__V1__Error *e)
{
    if (e->code == DISKALLOC__V1__ERROR_CODE__LIMIT) {
        snprintf(s->said, sizeof(s->said), "%s: limit %llu, used %llu", e->limit_name, (unsigned long long)e->limit,
                 (unsigned long long)e->used);
        return -EDQUOT;
    }
    snprintf(s->said, sizeof(s->said), "%s", e->message);
    return e->code == DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN ? -ESHUTDOWN : -EPROTONOSUPPORT;
}

static int say_hello(struct session *s)
{
    static const char name[] = "diskallocctl";
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    Diskalloc__V1__Reply *reply;
    int r;

    hello.version_min = hello.version_max = PROTOCOL_VERSION;
    hello.features = DISKALLOC__V1__FEATURE__FEATURE_EVENTS | DISKALLOC__V1__FEATURE__FEATURE_MOVE |
                     DISKALLOC__V1__FEATURE__FEATURE_ADMINISTRATION;
    hello.client_name = field_text(name);
    hello.pid = (uint32_t)getpid();
    request.body_case = DISKALLOC__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    r = session_call(s, &request, &reply);
    if (r < 0)
        return r;
    if (reply->error)
        r = hello_refused(s, reply->error);
    else if (reply->body_case != DISKALLOC__V1__REPLY__BODY_HELLO || reply->hello->version != PROTOCOL_VERSION)
        r = -EPROTO;
    else
        snprintf(s->daemon_version, sizeof(s->daemon_version), "%s", reply->hello->daemon_version);
    session_free_reply(reply);
    return r;
}

int session_open(struct session *s, const char *path, int timeout_seconds, const char **ret_what)
{
    int r;

    s->last_id = 0;
    s->said[0] = '\0';
    s->fd = connect_to(path, timeout_seconds);
    if (s->fd < 0) {
        r = s->fd;
        s->fd = -1;
        *ret_what = "connecting";
        return r;
    }
    r = say_hello(s);
    if (r < 0) {
        session_close(s);
        *ret_what = "saying hello";
    }
    return r;
}

void session_close(struct session *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static int send_request(struct session *s, const Diskalloc__V1__Request *request)
{
    uint8_t bytes[PACKET_MAX];
    size_t n = diskalloc__v1__request__get_packed_size(request);
    int r;

    if (n > sizeof(bytes))
        return -EMSGSIZE;
    diskalloc__v1__request__pack(request, bytes);
    r = packet_send(s->fd, bytes, n, -1, 0);
    if (r == -EPIPE)
        return -ECONNRESET;
    return r == -EAGAIN ? -ETIMEDOUT : r;
}

// Receives one packet, which may be the reply to any request, or an event.
static int receive_reply(struct session *s, Diskalloc__V1__Reply **ret)
{
    static uint8_t bytes[PACKET_MAX];
    _cleanup_close_ int fd = -1; // the replies that diskallocctl asks for have no descriptor
    ssize_t n = packet_receive(s->fd, bytes, sizeof(bytes), 0, &fd);

    if (n == 0)
        return -ECONNRESET;
    if (n < 0)
        return n == -EAGAIN ? -ETIMEDOUT : (int)n;
    *ret = diskalloc__v1__reply__unpack(NULL, (size_t)n, bytes);
    return *ret ? 0 : -EPROTO;
}

int session_call(struct session *s, Diskalloc__V1__Request *request, Diskalloc__V1__Reply **ret)
{
    int r;

    request->id = ++s->last_id;
    r = send_request(s, request);
    // A daemon that refuses the connection says why before it closes: so the answer is read even if sending failed.
    if (r < 0 && r != -ECONNRESET)
        return r;
    for (;;) {
        r = receive_reply(s, ret);
        if (r < 0 || (*ret)->id == request->id)
            return r;
        // Id 0 is an event; with an error, it is the last message before the daemon closes the connection.
        if ((*ret)->id == 0 && (*ret)->error)
            return 0;
        if (s->on_event && (*ret)->body_case == DISKALLOC__V1__REPLY__BODY_EVENT)
            s->on_event(s->event_data, (*ret)->event);
        session_free_reply(*ret);
    }
}

int session_next(struct session *s, Diskalloc__V1__Reply **ret)
{
    return receive_reply(s, ret);
}

void session_free_reply(Diskalloc__V1__Reply *reply)
{
    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
}
