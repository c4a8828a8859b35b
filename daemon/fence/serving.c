// A server of the passthrough fence, as the daemon sees it: its process, the sockets to it, and its mounts.
//
// The server has two sockets: one for questions, each of which is answered, and one on which the daemon announces that
// it opens a node (control.h).  An answer that does not come in time makes the server useless, and it is killed.
#include "daemon/fence/serving.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum {
    ANSWER_MS = 3000, // for an answer of the server, or its end
    OPEN_MS = 3000,   // for an open
};

// The mount of one user.
struct lane {
    uid_t user;
    int dir;
    pthread_mutex_t lock;           // one open at a time
    _Atomic uint64_t opening_since; // ms, monotonic; 0: no open is under way
};

struct serving {
    pid_t pid;
    int pidfd;
    int asks, opens;        // sockets
    pthread_mutex_t asking; // from a question to its answer; for lanes and n_lanes too
    struct lane *lanes[PASSTHROUGH_MOST_LANES];
    unsigned n_lanes;
};

void serving_free(struct serving *s)
{
    for (unsigned i = 0; i < s->n_lanes; i++) {
        close(s->lanes[i]->dir);
        pthread_mutex_destroy(&s->lanes[i]->lock);
        free(s->lanes[i]);
    }
    cleanup_close(&s->asks);
    cleanup_close(&s->opens);
    cleanup_close(&s->pidfd);
    pthread_mutex_destroy(&s->asking);
    free(s);
}

// With s->asking.  0 or more, or -errno; *RET_FD may be NULL: no descriptor is expected.
static int ask(struct serving *s, const struct passthrough_packet *q, int fd, int *ret_fd)
{
    struct pollfd answered = {.fd = s->asks, .events = POLLIN};
    struct passthrough_answer answer;
    int received = -1, r = packet_send(s->asks, q, sizeof *q, fd, MSG_DONTWAIT);
    ssize_t n;

    if (r < 0)
        return r;
    do
        r = poll(&answered, 1, ANSWER_MS);
    while (r < 0 && errno == EINTR);
    n = r > 0 ? packet_receive(s->asks, &answer, sizeof answer, MSG_DONTWAIT, &received) : -ETIMEDOUT;
    if (n == (ssize_t)sizeof answer && ret_fd && answer.result >= 0 && received >= 0) {
        *ret_fd = received;
        return (int)answer.result;
    }
    cleanup_close(&received);
    if (n == (ssize_t)sizeof answer)
        return ret_fd && answer.result >= 0 ? -EPROTO : (int)answer.result;
    // The answer may still come, and would be taken for that to another question: this server is of no use any more.
    syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
    return n == 0 ? -ETIMEDOUT : n < 0 ? (int)n : -EPROTO;
}

// With s->asking.
static struct lane *find_lane(struct serving *s, uid_t user, unsigned *ret_number)
{
    for (unsigned i = 0; i < s->n_lanes; i++)
        if (s->lanes[i]->user == user) {
            *ret_number = i;
            return s->lanes[i];
        }
    // Very many users share the lanes that there are.
    *ret_number = user % PASSTHROUGH_MOST_LANES;
    return s->n_lanes == PASSTHROUGH_MOST_LANES ? s->lanes[*ret_number] : NULL;
}

// With s->asking.
static int make_lane(struct serving *s, uid_t user, struct lane **ret)
{
    const struct passthrough_packet q = {.kind = PASSTHROUGH_MOUNT, .lane = s->n_lanes};
    struct lane *lane = calloc(1, sizeof *lane);
    int r = lane ? ask(s, &q, -1, &lane->dir) : -ENOMEM;

    if (r < 0) {
        free(lane);
        return r;
    }
    lane->user = user;
    pthread_mutex_init(&lane->lock, NULL);
    s->lanes[s->n_lanes++] = lane;
    *ret = lane;
    return 0;
}

static int get_lane(struct serving *s, uid_t user, struct lane **ret, unsigned *ret_number)
{
    int r = 0;

    pthread_mutex_lock(&s->asking);
    *ret = find_lane(s, user, ret_number);
    if (!*ret) {
        *ret_number = s->n_lanes;
        r = make_lane(s, user, ret);
    }
    pthread_mutex_unlock(&s->asking);
    return r;
}

// The node, which was opened for writing by DIR, for reading only.
static int open_for_reading(int dir)
{
    _cleanup_close_ int node = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[32];
    int fd;

    if (node < 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", node);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_node(struct serving *s, struct lane *lane, const struct passthrough_packet *announced, int file)
{
    const struct passthrough_packet opened = {.kind = PASSTHROUGH_OPENED, .lane = announced->lane};
    int fd, r;

    pthread_mutex_lock(&lane->lock);
    lane->opening_since = clock_now();
    r = packet_send(s->opens, announced, sizeof *announced, file, MSG_DONTWAIT);
    if (r == 0 && announced->read_only) {
        r = open_for_reading(lane->dir);
    } else if (r == 0) {
        fd = openat(lane->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : fd;
    }
    lane->opening_since = 0;
    pthread_mutex_lock(&s->asking);
    ask(s, &opened, -1, NULL);
    pthread_mutex_unlock(&s->asking);
    pthread_mutex_unlock(&lane->lock);
    return r;
}

int serving_open(struct serving *s, uid_t user, struct passthrough_packet *announced, int file)
{
    struct lane *lane;
    int r = get_lane(s, user, &lane, &announced->lane);

    return r < 0 ? r : open_node(s, lane, announced, file);
}

int serving_is_alone(struct serving *s, const struct handle *handle, uint64_t identity)
{
    const struct passthrough_packet q = {.kind = PASSTHROUGH_ALONE, .handle = *handle, .identity = identity};
    int r;

    pthread_mutex_lock(&s->asking);
    r = ask(s, &q, -1, NULL);
    pthread_mutex_unlock(&s->asking);
    return r;
}

// Starts the program of this process as the server, with its ends of the sockets.
static int spawn(int asks, int opens, pid_t *ret)
{
    char *const arguments[] = {(char[]){"diskallocd"}, (char[]){PASSTHROUGH_OPTION}, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    // Neither of the two may be closed by the dup2 of the other.
    posix_spawn_file_actions_adddup2(&files, asks, PASSTHROUGH_ASKS_FD);
    posix_spawn_file_actions_adddup2(&files, opens, PASSTHROUGH_OPENS_FD);
    posix_spawn_file_actions_addclosefrom_np(&files, PASSTHROUGH_OPENS_FD + 1);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn(ret, "/proc/self/exe", &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return -r;
}

// Two sockets whose other ends are descriptors of 5 and more.
static int make_sockets(int own[2], int other[2])
{
    for (int i = 0; i < 2; i++) {
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return -errno;
        own[i] = pair[0];
        other[i] = fcntl(pair[1], F_DUPFD_CLOEXEC, PASSTHROUGH_OPENS_FD + 1);
        r = -errno;
        close(pair[1]);
        if (other[i] < 0)
            return r;
    }
    return 0;
}

// Waits for the server's end, and kills it, if need be.  GENTLY: it is to end by itself, in time.
void serving_end(struct serving *s, bool gently)
{
    struct pollfd ended = {.fd = s->pidfd, .events = POLLIN};
    siginfo_t info;

    if (gently)
        shutdown(s->asks, SHUT_RDWR);
    if (s->pidfd >= 0 && !(gently && poll(&ended, 1, ANSWER_MS) > 0))
        syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
    if (s->pid > 0)
        while (waitid(P_PID, (id_t)s->pid, &info, WEXITED) < 0 && errno == EINTR)
            continue;
}

static int start_process(struct serving *s)
{
    int own[2] = {-1, -1}, other[2] = {-1, -1};
    int r = make_sockets(own, other);

    if (r == 0)
        r = spawn(other[0], other[1], &s->pid);
    s->asks = own[0];
    s->opens = own[1];
    cleanup_close(&other[0]);
    cleanup_close(&other[1]);
    if (r < 0)
        return r;
    s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    return s->pidfd < 0 ? -errno : 0;
}

// A server that can make a mount.
int serving_start(int dir_fd, struct serving **ret)
{
    const struct passthrough_packet hello = {.kind = PASSTHROUGH_HELLO};
    struct serving *s = calloc(1, sizeof *s);
    struct lane *lane;
    unsigned number;
    int r;

    if (!s)
        return -ENOMEM;
    s->asks = s->opens = s->pidfd = -1;
    pthread_mutex_init(&s->asking, NULL);
    r = start_process(s);
    if (r == 0)
        r = ask(s, &hello, dir_fd, NULL);
    if (r == 0)
        r = get_lane(s, geteuid(), &lane, &number);
    if (r < 0) {
        serving_end(s, false);
        serving_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int serving_pidfd(const struct serving *s)
{
    return s->pidfd;
}

bool serving_hangs(struct serving *s)
{
    uint64_t now = clock_now();
    bool any = false;

    pthread_mutex_lock(&s->asking);
    for (unsigned i = 0; i < s->n_lanes; i++) {
        uint64_t since = s->lanes[i]->opening_since;

        any = any || (since > 0 && now > since + OPEN_MS);
    }
    pthread_mutex_unlock(&s->asking);
    return any;
}
