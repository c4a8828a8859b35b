// The server of the daemon's FUSE mounts.
//
// A descriptor of a FUSE file that was opened with FOPEN_PASSTHROUGH and FOPEN_DIRECT_IO can be mapped: the kernel maps
// the disk's file in its place, and pages are read and written without the server.  Everything else that is done with
// the descriptor is a request to the server, which refuses all that changes the file.
//
// The server is a process of its own, run by the daemon's program (daemon/fence/passthrough.c starts it, and starts
// another when it has ended).  A thread that waits for a FUSE answer cannot be killed before that answer or the end of
// the connection.  If the daemon itself held the connection, a daemon that is killed while one of its threads opens a
// node would stay for ever.  As it is, the connection ends with the server: then every open in the daemon fails.
//
// The main thread never touches the disk, and never waits for anything but the next request: what needs the disk is
// done by threads that do not have the connections open (slow.c).  So killing the server always ends them.
//
// A hostile client can send requests as fast as it likes, by any number of threads, and the kernel queues them.  So
// each user has a mount, and a queue, of its own: a lane.  The server takes one request from each lane in turn.  A
// mount is not attached anywhere: nobody but the daemon has a descriptor of its directory, so nobody else can open or
// make a file there.  Opening /proc/self/fd/N again is a request too, and is refused.
//
// Each descriptor that a client gets is a node (an inode of FUSE) of its own, of a file without a name (O_TMPFILE).
// The kernel keeps the node as long as the descriptor or a mapping made by it exists, in whichever process, and
// forgets it then (FUSE_FORGET).  So the nodes tell exactly which processes may map a region: more than the marks of
// daemon/store/mark.c, which go when the descriptor is closed, because the mapping holds the disk's file and not the
// FUSE file.  All that is known ends with the server; daemon/op/consent.c says how the daemon goes on then.
//
// The disk's file is registered with the kernel for the time of one open of the daemon (FUSE_ABI_BACKING_OPEN).  As
// long as it is registered it counts as open, also after the server's end, until the last mapping of that lane goes,
// and would keep the region from being removed.  So the daemon has that undone before the client gets its descriptor,
// and the server outlives the daemon for a moment, to undo it too.  Only a server that is killed just then leaves a
// file registered.
#include "daemon/fence/server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/fence/server/state.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"

enum {
    MOST_EVENTS = 64,
    FORGETS_AT_ONCE = 256, // requests of a lane that are read before a question about its nodes is answered
};

// An event of epoll stands for a lane, or for one of these.
enum { EVENT_ASKS = PASSTHROUGH_MOST_LANES, EVENT_SLOW };

static int watch(struct server *s, int fd, uint32_t what)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = what};

    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

// FD becomes the server's.
static int hello(struct server *s, int fd)
{
    int r;

    if (s->slow || fd < 0) {
        cleanup_close(&fd);
        return -EINVAL;
    }
    s->dir_fd = fd;
    r = slow_new(fd, &s->slow);
    return r < 0 ? r : watch(s, slow_fd(s->slow), EVENT_SLOW);
}

// Mounts are made in the order of their lanes.
static int mount(struct server *s, uint32_t number, int *ret_dir)
{
    int r;

    if (number != s->n_lanes || number >= PASSTHROUGH_MOST_LANES)
        return -EINVAL;
    r = server_lane_open(&s->lanes[number], ret_dir);
    if (r < 0)
        return r;
    s->n_lanes++;
    return watch(s, s->lanes[number].fuse, number);
}

// The kernel tells by requests, too, which nodes have gone.
static int is_alone(struct server *s, const struct passthrough_packet *p)
{
    int r = server_node_is_alone(&s->nodes, &p->handle, p->identity);

    for (unsigned lane = 0; r == 0 && lane < s->n_lanes; lane++)
        for (unsigned i = 0; i < FORGETS_AT_ONCE && server_serve(s, lane); i++)
            continue;
    return r == 1 ? 1 : server_node_is_alone(&s->nodes, &p->handle, p->identity);
}

// An open that has failed early may have left its announcement.
static int opened(struct server *s, uint32_t lane)
{
    server_read_announcements(s);
    server_lane_opened(&s->lanes[lane]);
    return 0;
}

// Answers one question.  FD came with it, or is -1.
static void answer_question(struct server *s, const struct passthrough_packet *p, int fd)
{
    struct passthrough_answer answer = {.result = -EINVAL};
    _cleanup_close_ int received = fd, dir = -1;

    if (p->kind == PASSTHROUGH_HELLO)
        answer.result = hello(s, steal_fd(&received));
    else if (p->kind == PASSTHROUGH_MOUNT)
        answer.result = mount(s, p->lane, &dir);
    else if (p->kind == PASSTHROUGH_ALONE)
        answer.result = is_alone(s, p);
    else if (p->kind == PASSTHROUGH_OPENED && p->lane < s->n_lanes)
        answer.result = opened(s, p->lane);
    packet_send(s->asks, &answer, sizeof answer, dir, 0);
}

// False: the daemon has ended.
static bool read_question(struct server *s)
{
    struct passthrough_packet p;
    int fd = -1;
    ssize_t n = packet_receive(s->asks, &p, sizeof p, MSG_DONTWAIT, &fd);

    if (n == (ssize_t)sizeof p)
        answer_question(s, &p, fd);
    else
        cleanup_close(&fd);
    return n > 0 || n == -EAGAIN;
}

static void answer_ended(struct server *s)
{
    struct slow_job *job;

    while ((job = slow_take_ended(s->slow))) {
        server_answer_slow(s, job);
        slow_free(job);
    }
}

// False: the daemon has ended.
static bool turn(struct server *s)
{
    struct epoll_event events[MOST_EVENTS];
    int n = epoll_wait(s->epoll, events, MOST_EVENTS, -1);
    bool goes_on = n >= 0 || errno == EINTR;

    for (int i = 0; goes_on && i < n; i++) {
        if (events[i].data.u32 == EVENT_ASKS)
            goes_on = read_question(s);
        else if (events[i].data.u32 == EVENT_SLOW)
            answer_ended(s);
        else
            server_serve(s, events[i].data.u32);
    }
    return goes_on;
}

// A service manager or a terminal sends its signals to all processes: this one ends with the daemon, and not before.
static void set_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    // A server that was stopped goes on, and finds that the daemon has ended.
    prctl(PR_SET_PDEATHSIG, SIGCONT);
}

int server_main(void)
{
    struct server *s = calloc(1, sizeof *s);

    prctl(PR_SET_NAME, "diskallocd-fuse");
    set_signals();
    if (!s || server_node_table_init(&s->nodes) < 0)
        return EXIT_FAILURE;
    s->asks = PASSTHROUGH_ASKS_FD;
    s->opens = PASSTHROUGH_OPENS_FD;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0 || watch(s, s->asks, EVENT_ASKS) < 0)
        return EXIT_FAILURE;
    while (turn(s))
        continue;
    for (unsigned i = 0; i < s->n_lanes; i++)
        server_lane_opened(&s->lanes[i]);
    // The kernel ends the connections; threads may hang, and are not waited for.
    _exit(EXIT_SUCCESS);
}
