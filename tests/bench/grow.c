// The cost of a grow, beside the parts that it can't do without: the round trip of a socket, and the file system's
// work.  And how much longer it takes while others are busy.  Prints ratios of medians from blocks that alternate; no
// test.
#include "tests/bench/grow.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/lib/test_daemon.h"

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
