// Opening a connection: socket, connect, Hello, each within a deadline.  See connection.h.
#include "client/link/connection.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/util/error.h"
#include "client/util/fork.h"
#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "proto/version.h"

enum { DEADLINE_MS = 5000 }; // of connect, and of the answer to Hello

bool connection_is_ours(const struct connection *c)
{
    return descriptor_is_ours(&c->sock);
}

struct connection *connection_ref(struct connection *c)
{
    c->refs++;
    return c;
}

static void drop_events(struct connection *c)
{
    while (c->n_events > 0)
        wire_reply_free(c->events[--c->n_events]);
}

void connection_unref(struct connection *c)
{
    if (!c || --c->refs > 0)
        return;
    fork_lock();
    descriptor_close(&c->sock);
    fork_unregister(&c->fork);
    fork_unlock();
    drop_events(c);
    free(c);
}

static void forked(struct fork_hook *hook)
{
    struct connection *c = container_of(hook, struct connection, fork);

    descriptor_close(&c->sock);
    fork_unregister(hook);
    drop_events(c);
    free(c);
}

static int open_socket(struct connection *c)
{
    int r, sock;

    c->fork.child = forked;
    fork_lock();
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    r = sock < 0 ? -errno : descriptor_keep(&c->sock, sock);
    if (r == 0)
        fork_register(&c->fork, FORK_CONNECTION);
    fork_unlock();
    return r;
}

static int connection_new(struct connection **ret)
{
    struct connection *c = calloc(1, sizeof *c);
    int r = c ? open_socket(c) : -ENOMEM;

    if (r < 0) {
        free(c);
        return r;
    }
    c->refs = 1;
    c->uid = geteuid();
    *ret = c;
    return 0;
}

int request_pack(const WireRequest *q, uint8_t bytes[static REQUEST_MAX], size_t *ret_n)
{
    if (diskalloc__v1__request__get_packed_size(q) > REQUEST_MAX)
        return error_why(-EINVAL, "an argument is too long");
    *ret_n = diskalloc__v1__request__pack(q, bytes);
    return 0;
}

// The timeout of sending (SO_SNDTIMEO) is also that of connecting.  Connecting waits when the daemon accepts nobody
// and its queue is full.
static int connect_to(const char *path, int sock)
{
    const struct timeval deadline = {.tv_sec = DEADLINE_MS / 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t until = clock_after(DEADLINE_MS);
    int r;

    if (strlen(path) >= sizeof address.sun_path)
        return error_why(-ENAMETOOLONG, "%.200s is longer than a socket's path may be", path);
    strcpy(address.sun_path, path);
    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    do
        r = connect(sock, (struct sockaddr *)&address, sizeof address);
    while (r < 0 && errno == EINTR && clock_left(until) > 0);
    if (r == 0)
        return 0;
    switch (errno) {
    case EINTR:
    case ENOENT:
    case ENOTDIR:
        return error_why(-ENOENT, "there is no daemon at %s", path);
    case EAGAIN:
        return error_why(-ECONNREFUSED, "the daemon at %s accepts nobody", path);
    case EPROTOTYPE:
    case ENOTSOCK:
    case ECONNREFUSED:
        // Each start of the daemon's socket makes a new file: a container that has the old one alone finds nobody.
        return error_why(-ECONNREFUSED,
                         "nobody answers at %s (a container needs the socket's directory, and not the socket alone)",
                         path);
    default:
        return error_why(-errno, "connecting to %s", path);
    }
}

static int wait_readable(int sock, int timeout_ms)
{
    struct pollfd p = {.fd = sock, .events = POLLIN};
    uint64_t until = clock_after(timeout_ms);
    int n;

    // A signal may interrupt the wait again and again: only the time that is left is waited for.
    do
        n = poll(&p, 1, (int)clock_left(until));
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static int receive(const struct connection *c, int timeout_ms, WireReply **ret)
{
    _cleanup_free_ uint8_t *bytes = malloc(PACKET_MAX);
    _cleanup_close_ int fd = -1;
    bool fd_lost;
    ssize_t n;
    int r = bytes ? wait_readable(c->sock.fd, timeout_ms) : -ENOMEM;

    if (r < 0)
        return r;
    n = packet_receive_reply(c->sock.fd, bytes, PACKET_MAX, 0, &fd, &fd_lost);
    if (n <= 0)
        return n == -EMSGSIZE || n == -EBADMSG ? -EPROTO : -ECONNRESET;
    *ret = diskalloc__v1__reply__unpack(NULL, (size_t)n, bytes);
    return *ret ? 0 : -EPROTO;
}

// Keeps or frees a message that nobody asked for.
static void keep_event(struct connection *c, WireReply *reply)
{
    if (reply && reply->id == 0 && reply->body_case == DISKALLOC__V1__REPLY__BODY_EVENT &&
        c->n_events < CONNECTION_KEEPS)
        c->events[c->n_events++] = reply;
    else
        wire_reply_free(reply);
}

int connection_ask(struct connection *c, WireRequest *q, int timeout_ms, WireReply **ret)
{
    uint8_t bytes[REQUEST_MAX];
    WireReply *reply = NULL;
    size_t n = 0;
    int r = request_pack(q, bytes, &n);

    if (r < 0)
        return r;
    r = packet_send(c->sock.fd, bytes, n, -1, 0);
    // A daemon that refuses the connection says why before it closes: so the answer is read even if sending failed.
    if (r < 0 && r != -EPIPE && r != -ECONNRESET)
        return r == -EAGAIN ? -ETIMEDOUT : r;
    do {
        keep_event(c, reply);
        reply = NULL;
        r = receive(c, timeout_ms, &reply);
        if (r < 0)
            return r;
    } while (reply->id != q->id && !(reply->id == 0 && reply->error));
    *ret = reply;
    return 0;
}

static int check_hello(const WireReply *reply)
{
    int r;

    assert(reply);
    r = wire_refusal(reply);
    if (r == -EMFILE)
        return -EAGAIN;
    if (r < 0)
        return r == -ECONNRESET ? -ECONNREFUSED : r;
    if (reply->body_case != DISKALLOC__V1__REPLY__BODY_HELLO || reply->hello->version != PROTOCOL_VERSION)
        return error_why(-EPROTO, "the daemon's answer to Hello can't be understood");
    return 0;
}

static int say_hello(struct connection *c, const char *client_name)
{
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    WireReply *reply = NULL;
    int r;

    hello.version_min = hello.version_max = PROTOCOL_VERSION;
    hello.features = PROTOCOL_FEATURES;
    hello.client_name = field_bytes(client_name, strnlen(client_name, CLIENT_NAME_MAX));
    hello.pid = (uint32_t)getpid();
    q.id = 1;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_HELLO;
    q.hello = &hello;
    r = connection_ask(c, &q, DEADLINE_MS, &reply);
    if (r == -ETIMEDOUT)
        return error_why(-ECONNREFUSED, "the daemon does not answer");
    if (r == -ECONNRESET)
        return error_why(-ECONNREFUSED, "the daemon hung up");
    if (r < 0)
        return r;
    r = check_hello(reply);
    if (r == 0)
        c->features = reply->hello->features & PROTOCOL_FEATURES;
    wire_reply_free(reply);
    return r;
}

int connection_open(const char *path, const char *client_name, struct connection **ret)
{
    struct connection *c = NULL;
    int r = connection_new(&c);

    if (r < 0)
        return r;
    r = connect_to(path, c->sock.fd);
    if (r == 0)
        r = say_hello(c, client_name);
    if (r < 0)
        connection_unref(c);
    else
        *ret = c;
    return r;
}
