// server SOCKET: a queue of jobs that sheds load before its quota is used up.
//
// Clients connect to the Unix socket SOCKET, send one line, and get one line back:
//
//     put TEXT      "ok", or "later: ..." when the server takes no more jobs
//     get           "job TEXT", the oldest one, or "none"
//
// The jobs are a vector on disk, so there may be more of them than memory holds.  There is a quota, though, and others
// have a share in it: a server that uses all of it is refused in the middle of its work, and so are all other programs
// of its user.  This one reacts earlier, when the daemon warns (warn_at, 80 % by default):
//
//   - The warning is an event: poll(2) tells that there is one on diskalloc_event_fd.  From then on each `put` is
//     refused, and clients come again later.  `get` is served all the time: it makes room.
//   - What was taken goes back to the quota (discard_front).  When three quarters of the mark are left, the server
//     takes jobs again.  At the mark itself it would be warned again at once.
//   - If a push is refused all the same, that is an answer to this client, and no reason to end.
//   - A daemon that is gone is no reason either.  By default a call waits five minutes for the daemon to come back;
//     a server has others to serve, and waits a second.
//
// The address is $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/vec.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct job {
    char text[1024];
};
DISKALLOC_VEC_DEFINE(jobs, struct job)

enum { ANSWER_MAX = 2048 };

struct server {
    struct diskalloc *da;
    struct jobs jobs;
    size_t next; // the oldest job that was not taken
    bool shedding;
    char account[64]; // that has warned: "user:alice", "group:analysts"
};

// E.limit_name is an account and one of its limits: "user:alice bytes".
static void begin_to_shed(struct server *s, const struct diskalloc_event *e)
{
    const char *limit = strrchr(e->limit_name, ' ');

    s->shedding = true;
    snprintf(s->account, sizeof s->account, "%.*s", limit ? (int)(limit - e->limit_name) : 0, e->limit_name);
    printf("%s: %llu of %llu are used, no jobs are taken\n", e->limit_name, (unsigned long long)e->used,
           (unsigned long long)e->limit);
}

static void hear_events(struct server *s)
{
    struct diskalloc_event e;

    while (diskalloc_next_event(s->da, &e, sizeof e) == 1)
        if (e.kind == DISKALLOC_EVENT_QUOTA_WARNING && !s->shedding)
            begin_to_shed(s, &e);
}

// Others may use the account too, so its usage counts, and not the number of jobs.
static bool is_shedding(struct server *s)
{
    struct diskalloc_usage u;

    if (s->shedding && diskalloc_get_usage(s->da, s->account, &u, sizeof u) == 0 && u.bytes < u.warn_bytes / 4 * 3) {
        s->shedding = false;
        printf("%s: %llu are used, jobs are taken again\n", s->account, (unsigned long long)u.bytes);
    }
    return s->shedding;
}

static void put(struct server *s, const char *text, char answer[static ANSWER_MAX])
{
    struct job job = {0};

    if (strlen(text) >= sizeof job.text) {
        snprintf(answer, ANSWER_MAX, "no: a job has %zu letters at most", sizeof job.text - 1);
        return;
    }
    memcpy(job.text, text, strlen(text));
    if (is_shedding(s))
        snprintf(answer, ANSWER_MAX, "later: %s is nearly used up", s->account);
    else if (jobs_push(&s->jobs, job) < 0)
        snprintf(answer, ANSWER_MAX, "later: %s", diskalloc_last_error());
    else
        snprintf(answer, ANSWER_MAX, "ok");
}

// A queue that is empty begins anew, with nothing charged.
static void renew(struct server *s)
{
    struct jobs fresh;

    if (jobs_init(&fresh, s->da) < 0)
        return; // the old one will do
    jobs_deinit(&s->jobs);
    s->jobs = fresh;
    s->next = 0;
}

static void get(struct server *s, char answer[static ANSWER_MAX])
{
    if (s->next == s->jobs.len) {
        snprintf(answer, ANSWER_MAX, "none");
        return;
    }
    snprintf(answer, ANSWER_MAX, "job %s", s->jobs.data[s->next++].text);
    if (s->next == s->jobs.len)
        renew(s);
    else if (jobs_discard_front(&s->jobs, s->next) < 0)
        printf("%s\n", diskalloc_last_error()); // the next call gives back all of it
}

// The line without its end, or NULL: the client has gone, sends more than a line, or nothing for a second.
static char *receive_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    ssize_t more;
    char *end = NULL;

    while (!end && n < size && (more = recv(fd, line + n, size - n, 0)) > 0) {
        end = memchr(line + n, '\n', (size_t)more);
        n += (size_t)more;
    }
    if (!end)
        return NULL;
    *end = '\0';
    return line;
}

static void serve(struct server *s, int fd)
{
    struct timeval patience = {.tv_sec = 1};
    char buffer[ANSWER_MAX], answer[ANSWER_MAX] = "no: say put TEXT, or get", *line;
    size_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    line = receive_line(fd, buffer, sizeof buffer);
    if (!line)
        return;
    if (strncmp(line, "put ", 4) == 0)
        put(s, line + 4, answer);
    else if (strcmp(line, "get") == 0)
        get(s, answer);
    n = strlen(answer);
    answer[n < sizeof answer - 1 ? n : sizeof answer - 2] = '\n';
    send(fd, answer, n + 1 < sizeof answer ? n + 1 : sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 128) == 0 ? fd : -1;
}

static int run(struct server *s, int listener)
{
    struct pollfd p[2] = {{.fd = listener, .events = POLLIN}, {.fd = diskalloc_event_fd(s->da), .events = POLLIN}};

    if (p[1].fd < 0)
        return -1;
    printf("ready\n");
    while (poll(p, 2, -1) >= 0 || errno == EINTR) {
        int fd;

        if (p[1].revents)
            hear_events(s);
        if (!p[0].revents)
            continue;
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve(s, fd);
            close(fd);
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct server s = {0};
    int listener;

    if (argc != 2) {
        fprintf(stderr, "usage: server SOCKET\n");
        return 2;
    }
    listener = listen_at(argv[1]);
    if (listener < 0) {
        perror(argv[1]);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    o.reconnect_timeout_ms = 1000;
    if (diskalloc_open(NULL, &o, &s.da) < 0 || jobs_init(&s.jobs, s.da) < 0 || run(&s, listener) < 0)
        fprintf(stderr, "server: %s\n", diskalloc_last_error());
    jobs_deinit(&s.jobs);
    diskalloc_close(s.da);
    unlink(argv[1]);
    return 1;
}
