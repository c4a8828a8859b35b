// What a grow costs beside what it cannot do without: the round trip of a socket, and the file system's own part.  And how much
// longer it takes while others are busy.  Prints ratios of medians from blocks that alternate; no test.
#include "tests/harness.h"
#include "tests/raw_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { BLOCKS = 8, PER_BLOCK = 500, SAMPLES = BLOCKS * PER_BLOCK, OTHERS_UID = 4243 };
#define MIB ((uint64_t)1 << 20)
#define NEED(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

struct series {
    double *at;
    size_t n, size;
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void add(struct series *s, double value)
{
    if (s->n == s->size) {
        s->size = s->size ? 2 * s->size : SAMPLES;
        s->at = realloc(s->at, s->size * sizeof *s->at);
        NEED(s->at);
    }
    s->at[s->n++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double part(struct series *s, double quantile)
{
    NEED(s->n > 0);
    qsort(s->at, s->n, sizeof *s->at, compare);
    return s->at[(size_t)((double)(s->n - 1) * quantile)];
}

static void forget(struct series *s)
{
    free(s->at);
    *s = (struct series){0};
}

// ---- One CPU for all, or as the kernel likes ----

static void pin_thread(pid_t tid, bool one)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < (one ? 1 : CPU_SETSIZE); i++)
        CPU_SET((size_t)i, &set);
    sched_setaffinity(tid, sizeof set, &set);
}

static void pin_process(pid_t pid, bool one)
{
    char path[64];
    struct dirent *e;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    NEED(dir);
    while ((e = readdir(dir)))
        if (e->d_name[0] != '.')
            pin_thread((pid_t)strtol(e->d_name, NULL, 10), one);
    closedir(dir);
}

// ---- The three that are compared ----

struct echo {
    pid_t pid;
    int sock;
};

static void echo_start(struct echo *e)
{
    int ends[2];
    char bytes[256];

    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    e->pid = fork();
    NEED(e->pid >= 0);
    if (e->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        while (recv(ends[1], bytes, sizeof bytes, 0) > 0 && send(ends[1], bytes, 100, 0) == 100)
            continue;
        _exit(0);
    }
    close(ends[1]);
    e->sock = ends[0];
}

static void ping(struct echo *e, struct series *s)
{
    char bytes[256] = {0};

    for (int i = 0; i < PER_BLOCK; i++) {
        double begin = now_us();

        NEED(send(e->sock, bytes, 40, 0) == 40 && recv(e->sock, bytes, sizeof bytes, 0) == 100);
        add(s, now_us() - begin);
    }
}

// As a grow does it, and nothing else.
static void grow_by_hand(int fd, uint64_t step, struct series *s)
{
    for (uint64_t i = 0; i < PER_BLOCK; i++) {
        double begin = now_us();

        NEED(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)(i * step), (off_t)step) == 0);
        NEED(ftruncate(fd, (off_t)((i + 1) * step)) == 0);
        add(s, now_us() - begin);
    }
    NEED(ftruncate(fd, 0) == 0);
}

struct packet {
    uint8_t bytes[64];
    size_t n;
};

// What packing costs is the client's, as what unpacking the reply does.
static void pack_grow(struct raw *c, const struct raw_handle *h, uint64_t size, struct packet *ret)
{
    Diskalloc__V1__GrowRegion body = DISKALLOC__V1__GROW_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    q.id = ++c->last_id;
    q.body_case = RAW_BODY(GROW_REGION);
    q.grow_region = &body;
    NEED(diskalloc__v1__request__get_packed_size(&q) <= sizeof ret->bytes);
    ret->n = diskalloc__v1__request__pack(&q, ret->bytes);
}

static void grow_once(struct raw *c, const struct raw_handle *h, uint64_t size, struct series *s)
{
    struct packet p;
    uint8_t bytes[256];
    double begin;

    pack_grow(c, h, size, &p);
    begin = now_us();
    NEED(send(c->sock, p.bytes, p.n, 0) == (ssize_t)p.n && recv(c->sock, bytes, sizeof bytes, 0) > 0);
    add(s, now_us() - begin);
}

static void grow(struct raw *c, const struct raw_handle *h, uint64_t step, struct series *s)
{
    for (uint64_t i = 0; i < PER_BLOCK; i++)
        grow_once(c, h, (i + 1) * step, s);
    NEED(raw_shrink(c, h, 0, PER_BLOCK * step) == RAW_CODE(OK));
}

static void compare_steps(const struct test_daemon *d, struct echo *e, struct raw *c, int fd, bool one)
{
    static const uint64_t steps[] = {4096, 64 << 10, 1 << 20};
    struct raw_handle h = raw_handle_new();

    pin_process(d->pid, one);
    pin_thread(e->pid, one);
    pin_thread(0, one);
    NEED(raw_create(c, &h, 0) == RAW_CODE(OK));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct series pings = {0}, by_hand = {0}, grows = {0};

        for (int b = 0; b < BLOCKS; b++) {
            ping(e, &pings);
            grow_by_hand(fd, steps[i], &by_hand);
            grow(c, &h, steps[i], &grows);
        }
        printf("%-8s %4d KiB: grow %6.2f µs, by hand %5.2f, ping-pong %6.2f; (grow - by hand) / ping-pong: p50 %.2f, "
               "p99 %.2f\n",
               one ? "one CPU" : "free", (int)(steps[i] >> 10), part(&grows, 0.5), part(&by_hand, 0.5),
               part(&pings, 0.5), (part(&grows, 0.5) - part(&by_hand, 0.5)) / part(&pings, 0.5),
               (part(&grows, 0.99) - part(&by_hand, 0.99)) / part(&pings, 0.99));
        forget(&pings);
        forget(&by_hand);
        forget(&grows);
    }
    pin_process(d->pid, false);
    pin_thread(e->pid, false);
    pin_thread(0, false);
}

// ---- Others that are busy ----

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

static long rate = 5000; // grows a second of all the busy ones together; 0: as many as they can

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

static void measure_busy(const struct test_daemon *d, struct raw *c, long n)
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

static void measure_freeing(const struct test_daemon *d, struct raw *c, long gib)
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

int main(int argc, char **argv)
{
    static const struct option options[] = {{"busy", required_argument, NULL, 'b'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"freeing", required_argument, NULL, 'f'},
                                            {0}};
    long n_busy = 0, gib = 0;
    struct rlimit files = {4096, 4096};
    struct test_daemon d;
    char path[200];
    struct echo e;
    struct raw c;
    int option, fd;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        *(option == 'b' ? &n_busy : option == 'r' ? &rate : &gib) = strtol(optarg, NULL, 10);
    }
    setrlimit(RLIMIT_NOFILE, &files);
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_daemon_start(&d,
                      "[daemon]\nkeep_free = 0\n[quota default]\nbytes = unlimited\nconnections = 2000\n[quota "
                      "total]\nbytes = unlimited\n",
                      NULL);
    NEED(raw_open(&c, d.socket) == RAW_CODE(OK));
    echo_start(&e);
    if (n_busy > 0)
        measure_busy(&d, &c, n_busy);
    if (gib > 0)
        measure_freeing(&d, &c, gib);
    if (n_busy == 0 && gib == 0) {
        snprintf(path, sizeof path, "%s/by-hand", d.dir);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        NEED(fd >= 0);
        compare_steps(&d, &e, &c, fd, true);
        compare_steps(&d, &e, &c, fd, false);
        close(fd);
    }
    raw_close(&c);
    close(e.sock);
    waitpid(e.pid, NULL, 0);
    test_daemon_stop_and_remove(&d);
    return 0;
}
