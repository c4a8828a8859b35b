// Where metrics and the page are served: see http.h.
//
// The address may be taken, or not be there yet.  That is no reason for a daemon not to start, on which programs wait
// for memory: it is tried again every ten seconds.
#include "daemon/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/server.h"
#include "daemon/http/site.h"
#include "daemon/log.h"
#include "daemon/unix_socket.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum {
    RETRY_MS = 10 * 1000,
    BACKLOG = 64, // clients that the kernel keeps waiting
};

struct http {
    struct event_base *base;
    struct site *site;
    struct server *server; // NULL: it does not listen
    char *address;         // where it is to listen; NULL: nowhere
    unsigned mode;
    gid_t group;
    ino_t inode; // of the socket, if it has a path
    uint64_t retry_at;
    bool told; // the log has said why it does not listen
};

int http_new(struct event_base *base, struct request_env *env, struct http **ret)
{
    struct http *h = calloc(1, sizeof *h);

    if (!h)
        return -ENOMEM;
    h->base = base;
    h->site = site_new(env);
    if (!h->site) {
        free(h);
        return -ENOMEM;
    }
    *ret = h;
    return 0;
}

static void stop(struct http *h)
{
    if (h->server && h->address[0] == '/')
        unix_socket_remove(h->address, h->inode);
    server_free(h->server);
    h->server = NULL;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    stop(h);
    site_free(h->site);
    free(h->address);
    free(h);
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

// Fills in a loopback address as the configuration has it (config/keys.c).  Returns its length.
static socklen_t parse_address(const char *address, union address *ret)
{
    const char *colon = strrchr(address, ':');
    const in_port_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    char host[INET_ADDRSTRLEN];

    memset(ret, 0, sizeof *ret);
    if (address[0] == '[') {
        ret->in6 =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        return sizeof ret->in6;
    }
    ret->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    if (inet_pton(AF_INET, host, &ret->in.sin_addr) != 1)
        ret->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof ret->in;
}

// A listening socket at a loopback address, or -errno.
static int listen_at_port(const struct http *h)
{
    static const int one = 1;
    union address address;
    const socklen_t size = parse_address(h->address, &address);
    _cleanup_close_ int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &address.any, size) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return steal_fd(&fd);
}

// The same with a path.  On failure *RET_ERROR is a sentence, or NULL.
static int listen_at_path(struct http *h, char **ret_error)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : unix_socket_listen(fd, h->address, h->mode, &h->inode, ret_error);

    if (r < 0)
        return r;
    if (h->group != (gid_t)-1 && lchown(h->address, (uid_t)-1, h->group) < 0)
        log_warning("metrics_listen = %s: the socket can't be given to the admin_group, of which the daemon is no "
                    "member: %m",
                    h->address);
    return steal_fd(&fd);
}

static void tell_failure(struct http *h, int error, const char *sentence)
{
    if (!h->told && error == -EAFNOSUPPORT)
        log_error("metrics_listen = %s: the service may not use the network; the drop-in metrics-tcp.conf lets it "
                  "(see diskallocd(8))",
                  h->address);
    else if (!h->told)
        log_error("metrics_listen = %s: %s; tried again every ten seconds", h->address,
                  sentence ? sentence : strerror(-error));
    h->told = true;
    h->retry_at = clock_now() + RETRY_MS;
}

static void tell_success(const struct http *h, int fd)
{
    union address bound = {.in6 = {0}};
    socklen_t size = sizeof bound;
    const bool is_path = h->address[0] == '/';

    // Of port 0, the kernel has chosen another one.
    if (is_path || getsockname(fd, &bound.any, &size) < 0)
        log_notice("metrics are served at %s", h->address);
    else
        log_notice("metrics are served at http://%.*s:%u/metrics, and a page at /",
                   (int)(strrchr(h->address, ':') - h->address), h->address,
                   ntohs(bound.any.sa_family == AF_INET6 ? bound.in6.sin6_port : bound.in.sin_port));
}

static void try_to_listen(struct http *h)
{
    _cleanup_free_ char *error = NULL;
    int fd = h->address[0] == '/' ? listen_at_path(h, &error) : listen_at_port(h);

    if (fd < 0) {
        tell_failure(h, fd, error);
        return;
    }
    tell_success(h, fd);
    h->server = server_new(h->base, fd, site_answer, h->site);
    h->told = false;
    if (!h->server)
        tell_failure(h, -ENOMEM, NULL);
}

void http_listen(struct http *h, const char *address, unsigned mode, gid_t group)
{
    char *copy = NULL;

    if (h->server && address && strcmp(h->address, address) == 0 && h->mode == mode && h->group == group)
        return;
    stop(h);
    if (address && !(copy = strdup(address)))
        log_error("metrics_listen = %s: out of memory", address);
    free(h->address);
    h->address = copy;
    h->mode = mode;
    h->group = group;
    h->told = false;
    if (h->address)
        try_to_listen(h);
}

void http_tick(struct http *h)
{
    if (h->server)
        server_tick(h->server);
    else if (h->address && clock_now() >= h->retry_at)
        try_to_listen(h);
}
