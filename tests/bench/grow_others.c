// How much longer a grow takes while others are busy, or free what they have.
#include "tests/bench/grow.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/test_daemon.h"

enum { OTHERS_UID = 4243 };

// A process of another user that does FN until it is killed; it says when it is ready.
static pid_t start_others(void (*fn)(const char *socket, long how_much, int ready), const char *socket, long how_much,
                          int *ret_ready)
{
    int ends[2];
    pid_t pid;

    NEED(pipe2(ends, O_CLOEXEC) == 0);
    pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (geteuid() == 0)
            NEED(setresgid(OTHERS_UID, OTHERS_UID, OTHERS_UID) == 0 &&
                 setresuid(OTHERS_UID, OTHERS_UID, OTHERS_UID) == 0);
        close(ends[0]);
        fn(socket, how_much, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    *ret_ready = ends[0];
    return pid;
}

static void end_others(pid_t pid, int ready)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ready);
}

long rate = 5000;

struct busy {
    struct raw conn;
    struct raw_handle handle;
    uint64_t size;
    bool asked;
};

static void busy_ask(struct busy *b)
{
    Diskalloc__V1__ShrinkRegion shrink = DISKALLOC__V1__SHRINK_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    b->asked = true;
    if (b->size < 4 * MIB) {
        NEED(raw_send_grow(&b->conn, &b->handle, b->size += 1 << 16, 0) > 0);
        return;
    }
    shrink.handle = raw_bytes(&b->handle);
    shrink.known_size = b->size;
    q.body_case = RAW_BODY(SHRINK_REGION);
    q.shrink_region = &shrink;
    b->size = 0;
    NEED(raw_send(&b->conn, &q) > 0);
}

static void busy_take(struct busy *b)
{
    uint8_t bytes[256];

    if (b->asked && recv(b->conn.sock, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        b->asked = false;
}

// N connections that grow in turn, RATE times a second.
static void be_busy(const char *socket, long n, int ready)
{
    struct busy *all = calloc((size_t)n, sizeof *all);
    double begin = now_us();
    uint64_t n_done = 0;

    NEED(all);
    for (long i = 0; i < n; i++) {
        all[i].handle = raw_handle_new();
        NEED(raw_open(&all[i].conn, socket) == RAW_CODE(OK));
        NEED(raw_create(&all[i].conn, &all[i].handle, 0) == RAW_CODE(OK));
    }
    NEED(write(ready, "x", 1) == 1);
    for (begin = now_us();; n_done++) {
        struct busy *b = &all[n_done % (uint64_t)n];
        double due = rate > 0 ? begin + (double)n_done * 1e6 / (double)rate : 0;

        while (now_us() < due)
            usleep((useconds_t)(due - now_us() > 100 ? due - now_us() : 1));
        busy_take(b);
        if (!b->asked)
            busy_ask(b);
    }
}

// Frees a region of GIB, all of whose pages were stored to, when it is told to by SIGCONT.
static void be_freeing(const char *socket, long gib, int ready)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    struct raw_handle h = raw_handle_new();
    RawRequest q = RAW_REQUEST_INIT;
    struct raw c;
    uint8_t reply[512];
    static uint8_t bytes[4096];
    int fd = -1;

    NEED(raw_open(&c, socket) == RAW_CODE(OK));
    body.handle = raw_bytes(&h);
    body.size = (uint64_t)gib << 30;
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    NEED(raw_send(&c, &q) > 0 && packet_receive(c.sock, reply, sizeof reply, 0, &fd) > 0 && fd >= 0);
    memset(bytes, 1, sizeof bytes);
    for (uint64_t at = 0; at < body.size; at += sizeof bytes)
        NEED(pwrite(fd, bytes, sizeof bytes, (off_t)at) == (ssize_t)sizeof bytes);
    close(fd);
    NEED(write(ready, "x", 1) == 1);
    raise(SIGSTOP);
    NEED(raw_shrink(&c, &h, 0, body.size) == RAW_CODE(OK));
    NEED(write(ready, "x", 1) == 1);
    pause();
}

// Grows by 1 MiB until it has N of them, or READY has something to say.
static void grow_while(struct raw *c, const struct raw_handle *h, size_t n, int ready, struct series *s)
{
    struct pollfd p = {.fd = ready, .events = POLLIN};
    uint64_t size = 0;

    for (size_t i = 0; i < n && (ready < 0 || poll(&p, 1, 0) == 0); i++) {
        struct timespec pause = {.tv_nsec = 200000};

        grow_once(c, h, size += MIB, s);
        if (size == 256 * MIB) {
            NEED(raw_shrink(c, h, 0, size) == RAW_CODE(OK));
            size = 0;
        }
        nanosleep(&pause, NULL);
    }
    if (size > 0)
        NEED(raw_shrink(c, h, 0, size) == RAW_CODE(OK));
}

static void print_others(const char *what, struct series *quiet, struct series *loud)
{
    static const double quantiles[] = {0.5, 0.9, 0.95, 0.99};

    printf("%s: %zu grows of 1 MiB, µs (and against the quiet one):", what, loud->n);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double q = quantiles[i];

        printf("  p%.0f %.1f (%.2f)", q * 100, part(loud, q), part(loud, q) / part(quiet, q));
    }
    printf("\n");
    forget(quiet);
    forget(loud);
}

void measure_busy(const struct test_daemon *d, struct raw *c, long n)
{
    struct raw_handle h = raw_handle_new();
    struct series quiet = {0}, loud = {0};
    char what[80], byte;

    NEED(raw_create(c, &h, 0) == RAW_CODE(OK));
    for (int i = 0; i < 3; i++) {
        int ready;
        pid_t pid;

        grow_while(c, &h, 4000, -1, &quiet);
        pid = start_others(be_busy, d->socket, n, &ready);
        NEED(read(ready, &byte, 1) == 1);
        grow_while(c, &h, 4000, -1, &loud);
        end_others(pid, ready);
    }
    snprintf(what, sizeof what, "%ld others, %ld grows a second", n, rate);
    print_others(what, &quiet, &loud);
}

void measure_freeing(const struct test_daemon *d, struct raw *c, long gib)
{
    struct raw_handle h = raw_handle_new();
    struct series quiet = {0}, loud = {0};
    char what[80], byte;

    NEED(raw_create(c, &h, 0) == RAW_CODE(OK));
    for (int i = 0; i < 3; i++) {
        int ready, status;
        pid_t pid = start_others(be_freeing, d->socket, gib, &ready);

        NEED(read(ready, &byte, 1) == 1);
        NEED(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        sync();
        grow_while(c, &h, 2000, -1, &quiet);
        kill(pid, SIGCONT);
        grow_while(c, &h, 1000000, ready, &loud);
        end_others(pid, ready);
    }
    snprintf(what, sizeof what, "another frees %ld GiB", gib);
    print_others(what, &quiet, &loud);
}
