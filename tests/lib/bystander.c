// See bystander.h.
#include "tests/lib/bystander.h"

#include <dirent.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "proto/util/checked.h"
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"

enum { FEW_FILES = 1024, MOST_MIB = 16, MOST_LOOPS = 8, LOOPS_UID = 5151 };

static uint64_t in_us(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// By the clock of the kernel's time stamps.
static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return in_us(t);
}

static void want_stamps(int sock)
{
    const int on = 1;

    assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on), 0);
}

// Waits for the next packet, and leaves it there.  When it was sent, or 0: it has no stamp.
static uint64_t await_stamp(int sock)
{
    union {
        struct cmsghdr align;
        char bytes[256];
    } control;
    struct msghdr m = {.msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct timespec t = {0};

    if (recvmsg(sock, &m, MSG_PEEK) < 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
            memcpy(&t, CMSG_DATA(c), sizeof t);
    return in_us(t);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

struct bystander_times bystander_grow(const char *socket, uid_t uid, unsigned n)
{
    uint64_t *times = calloc(n, sizeof *times), *answers = calloc(n, sizeof *answers), size = MOST_MIB;
    struct raw_handle h = raw_handle_new();
    struct bystander_times ret;
    struct raw c;

    assert_true(times && answers);
    assert_int_equal(uid == (uid_t)-1 ? raw_open(&c, socket) : raw_open_as(&c, socket, uid), RAW_CODE(OK));
    for (unsigned i = 0; i < n; i++) {
        uint64_t sent_at, stamp;
        RawReply *reply;

        if (size == MOST_MIB) {
            if (i > 0)
                assert_int_equal(raw_shrink(&c, &h, 0, size * MIB), RAW_CODE(OK));
            else
                assert_int_equal(raw_create(&c, &h, 0), RAW_CODE(OK));
            size = 0;
            want_stamps(c.sock); // now: where they are, there is no room for the descriptor of a new region
        }
        sent_at = now_us();
        assert_int_not_equal(raw_send_grow(&c, &h, ++size * MIB, 0), 0);
        stamp = await_stamp(c.sock);
        times[i] = now_us() - sent_at;
        answers[i] = stamp > sent_at ? stamp - sent_at : 0;
        reply = raw_answer(&c);
        assert_int_equal(raw_code(reply), RAW_CODE(OK));
        raw_free(reply);
    }
    raw_close(&c);
    qsort(times, n, sizeof *times, compare);
    qsort(answers, n, sizeof *answers, compare);
    ret = (struct bystander_times){.median_us = times[n / 2],
                                   .p99_us = times[n - 1 - n / 100],
                                   .answer_median_us = answers[n / 2],
                                   .answer_p99_us = answers[n - 1 - n / 100]};
    free(times);
    free(answers);
    return ret;
}

static void loop(struct actor *self, void *data)
{
    static volatile unsigned n;

    (void)self;
    (void)data;
    for (;;)
        n++;
}

struct bystander_times bystander_grow_beside_loops(const char *socket, uid_t uid, unsigned n, unsigned n_loops)
{
    struct actor loops[MOST_LOOPS];
    struct bystander_times ret;

    assert_in_range(n_loops, 0, MOST_LOOPS);
    for (unsigned i = 0; i < n_loops; i++)
        actor_start(&loops[i], loop, NULL, geteuid() == 0 ? LOOPS_UID + (uid_t)i : (uid_t)-1);
    bystander_grow(socket, uid, n / 4);
    ret = bystander_grow(socket, uid, n);
    for (unsigned i = 0; i < n_loops; i++)
        actor_kill(&loops[i]);
    return ret;
}

void bystander_print(const char *attack, struct bystander_times quiet, struct bystander_times beside_loops,
                     struct bystander_times meanwhile)
{
    print_message(
        "[ NOTE     ] %s: another user's grow by 1 MiB takes %" PRIu64 " us (p99 %" PRIu64
        "); beside as many loops without requests, %" PRIu64 " us (p99 %" PRIu64
        "); when nothing else happens, %" PRIu64 " us (p99 %" PRIu64 "); the daemon answers after %" PRIu64
        " us (p99 %" PRIu64 "), when nothing else happens after %" PRIu64 " us (p99 %" PRIu64 "): p99 x %.2f\n",
        attack, meanwhile.median_us, meanwhile.p99_us, beside_loops.median_us, beside_loops.p99_us, quiet.median_us,
        quiet.p99_us, meanwhile.answer_median_us, meanwhile.answer_p99_us, quiet.answer_median_us, quiet.answer_p99_us,
        (double)meanwhile.answer_p99_us / (double)u64_max(quiet.answer_p99_us, 1));
}

uint64_t process_rss_kib(pid_t pid)
{
    char path[64];
    long total, resident = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

unsigned process_count_fds(pid_t pid)
{
    const struct dirent *entry;
    unsigned n = 0;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

void process_limit_files(void)
{
    const struct rlimit few = {FEW_FILES, FEW_FILES};

    setrlimit(RLIMIT_NOFILE, &few);
    prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE);
    prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN);
}
