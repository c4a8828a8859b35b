// Refusing clients, in place of a daemon that can't start.  main calls this before it ends, with the reason in the
// log already.
//
// systemd keeps the socket, and starts the daemon when a client connects.  A client that is not answered waits for 5
// s, and is still there when this process ends, so systemd starts the daemon again.  So each client is told, and is
// gone when this process ends.  Clients try again and again; they are told again, for a time.  Then this process
// ends, and the next client starts another, which may find the fault mended.  (systemd's own pause,
// diskallocd-pause@.service, is shorter, and nobody answers in it.)
//
// SIGTERM ends this process as it ends any other: whoever has mended the fault need not wait.
#include "daemon/conn/turn_away.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/conn/rights.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum {
    STAY_MS = 20000,
    PAUSE_MS = 1, // after each client: one that connects in a loop must not keep a processor busy
    PACKETS_READ = 16,
    MOST_BROUGHT = 16, // clients that send descriptors, each of which may keep a child process: then this one ends
};

static char message[] = "the daemon can't start: its log says why";

static void send_refusal(int conn)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error error = DISKALLOC__V1__ERROR__INIT;
    _cleanup_free_ uint8_t *bytes = NULL;

    error.code = DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN;
    error.message = message;
    reply.error = &error;
    bytes = malloc(diskalloc__v1__reply__get_packed_size(&reply));
    if (bytes)
        packet_send(conn, bytes, diskalloc__v1__reply__pack(&reply, bytes), -1, MSG_DONTWAIT);
}

// Closing a socket with unread packets sends a reset, and the client could lose the reply.  So the client's way is
// closed first, and what it sent is dropped.  Descriptors that it has sent must not be dropped here (rights.c).  False:
// there are some, and CONN is not closed yet.
static bool refuse(int conn)
{
    bool brings = !rights_refuse(conn) && rights_remain(conn);

    shutdown(conn, SHUT_RD);
    for (int i = 0; !brings && i < PACKETS_READ && recv(conn, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) > 0; i++)
        ;
    send_refusal(conn);
    if (!brings)
        close(conn);
    return !brings;
}

static bool client_waits(int listen_fd, uint64_t until)
{
    struct pollfd p = {.fd = listen_fd, .events = POLLIN};

    return poll(&p, 1, (int)clock_left(until)) > 0 && p.revents & POLLIN;
}

void turn_away(int listen_fd)
{
    unsigned n_brought = 0; // clients that have sent descriptors
    uint64_t until;

    if (!client_waits(listen_fd, clock_now()))
        return;
    until = clock_after(STAY_MS);
    rights_refuse(listen_fd);
    log_notice("clients wait at the socket: they are refused for %d s, and then the next one starts the daemon again",
               STAY_MS / 1000);
    notify_text("It can't start, and refuses clients: see its log");
    while (n_brought < MOST_BROUGHT && client_waits(listen_fd, until)) {
        int conn = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (conn >= 0 && !refuse(conn))
            n_brought += rights_close(&conn, 1) != 0;
        else if (conn < 0 && (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOTSOCK))
            break; // nobody can connect to that
        poll(NULL, 0, PAUSE_MS);
    }
}
