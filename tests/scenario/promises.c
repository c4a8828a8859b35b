// The six promises together: several processes use regions of their own and one that they share, at random, while the
// daemon is killed and started again, users are disconnected, processes lose their sockets, fork or are killed, and
// the user database comes and goes.
//
// Whoever maps a byte reads it, again and again: a byte that another process took away is a SIGBUS or another value.
// A call may be refused by a limit, the disk, or because others may map the region; nothing else.  In the end nothing
// is charged, and no file is left.
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/user_database.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum {
    CLIENTS = 4,
    ROUNDS = SANITIZED ? 200 : 1500, // of each client
    OWN = 3,                         // regions of one client
    MOST = 1 << 20,                  // bytes of a region
    SAMPLES = 64,
};

#define CONFIG "[daemon]\nkeep_free = 0\n[quota total]\nbytes = 6M\n[quota default]\nbytes = 5M\n"

// $DISKALLOC_TEST_SEED begins other sequences.
static unsigned first_seed(void)
{
    const char *text = getenv("DISKALLOC_TEST_SEED");

    return text ? (unsigned)strtoul(text, NULL, 10) : 20;
}

struct shared {
    _Atomic unsigned rounds[CLIENTS];
    _Atomic bool stop;
};

struct held {
    struct diskalloc_region *r;
    uint64_t key;
    bool seen[SAMPLES]; // the sample had its value before
};

struct client {
    struct diskalloc *da;
    struct held own[OWN], common;
    unsigned seed;
    pid_t child;
};

static uint64_t value(uint64_t key, uint64_t at)
{
    return (key ^ at) * 0x9e3779b97f4a7c15 | 1;
}

// Refusals that a client must expect.
static bool is_refused(int r)
{
    return r == -EDQUOT || r == -ENOSPC || r == -EBUSY || r == -ESTALE || r == -ENOENT;
}

#define EXPECT(call)                                                                               \
    do {                                                                                           \
        int r_ = (call);                                                                           \
        if (r_ < 0 && !is_refused(r_)) {                                                           \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, diskalloc_last_error()); \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static unsigned below(struct client *c, unsigned n)
{
    return (unsigned)rand_r(&c->seed) % n;
}

static uint64_t *word(const struct held *h, uint64_t at)
{
    return (uint64_t *)((char *)diskalloc_region_data(h->r) + at);
}

static uint64_t sample_at(unsigned i)
{
    return (uint64_t)MOST / SAMPLES * i + i % 8 * 8;
}

// A sample is zero before somebody has filled it.  Once seen, it stays as long as this process holds it.
static void look(struct held *h)
{
    uint64_t size = h->r ? diskalloc_region_size(h->r) : 0;

    for (unsigned i = 0; i < SAMPLES && sample_at(i) + 8 <= size; i++) {
        uint64_t now = *(volatile uint64_t *)word(h, sample_at(i));

        if (now != value(h->key, sample_at(i)) && (now != 0 || h->seen[i])) {
            fprintf(stderr,
                    "region %s, %s, size %" PRIu64 ", at %" PRIu64 ": %" PRIx64 ", expected %" PRIx64 ", seen: %d\n",
                    diskalloc_region_handle(h->r), h->key == 7 ? "common" : "own", size, sample_at(i), now,
                    value(h->key, sample_at(i)), h->seen[i]);
            _exit(1);
        }
        h->seen[i] |= now != 0;
    }
}

static void fill(struct held *h, uint64_t from, uint64_t to)
{
    for (uint64_t at = from & ~(uint64_t)7; at + 8 <= to; at += 8)
        *word(h, at) = value(h->key, at);
}

static void forget_behind(struct held *h, uint64_t size)
{
    for (unsigned i = 0; i < SAMPLES; i++)
        if (sample_at(i) + 8 > size)
            h->seen[i] = false;
}

static void resize(struct client *c, struct held *h)
{
    uint64_t size = below(c, MOST) + 1, before = diskalloc_region_size(h->r);
    int r;

    // A word of which a shrink has left a part looks wrong to others until it is filled again.
    if (h == &c->common)
        size = (size + 7) & ~(uint64_t)7;
    r = diskalloc_region_resize(h->r, size);
    EXPECT(r);
    if (r == 0 && diskalloc_region_size(h->r) > before)
        fill(h, before, diskalloc_region_size(h->r));
    forget_behind(h, diskalloc_region_size(h->r));
}

static void discard(struct client *c, struct held *h)
{
    uint64_t size = diskalloc_region_size(h->r), from = below(c, 64) * 4096, length = (below(c, 16) + 1) * 4096;
    int r;

    if (from + length > size)
        return;
    r = diskalloc_region_discard(h->r, from, length);
    EXPECT(r);
    if (r < 0)
        return;
    while ((r = diskalloc_region_restore(h->r, from, length)) < 0) {
        EXPECT(r);
        usleep(1000);
    }
    fill(h, from, from + length);
}

static void lose_sockets(void)
{
    for (int fd = 3; fd < 100; fd++) {
        struct stat st;

        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
            close(fd);
    }
}

static void fork_child(struct client *c)
{
    int status;

    if (c->child > 0) {
        NEED(waitpid(c->child, &status, 0) == c->child && status == 0);
        c->child = 0;
        return;
    }
    c->child = fork();
    if (c->child != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < OWN; k++)
            look(&c->own[k]);
        look(&c->common);
        usleep(1000);
    }
    _exit(0);
}

static void open_or_close(struct client *c, struct held *h, bool common)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    uint64_t key = common ? 7 : (uint64_t)below(c, 1 << 30) + 8;
    int r;

    if (h->r) {
        diskalloc_region_close(h->r);
        *h = (struct held){0};
        return;
    }
    o.size = 65536;
    o.flags = common ? DISKALLOC_REGION_CREATE : 0;
    r = common ? diskalloc_region_open(c->da, "common", &o, &h->r) : diskalloc_region_create(c->da, &o, &h->r);
    EXPECT(r);
    h->key = key;
    if (r < 0)
        *h = (struct held){0};
    else if (!common)
        fill(h, 0, 65536);
}

static void do_something(struct client *c)
{
    bool common = below(c, 3) == 0;
    struct held *h = common ? &c->common : &c->own[below(c, OWN)];

    look(h);
    switch (below(c, 12)) {
    case 0:
        lose_sockets();
        break;
    case 1:
        fork_child(c);
        break;
    case 2:
        open_or_close(c, h, common);
        break;
    case 3:
    case 4:
        if (h->r && !common) // whoever opens a region meanwhile must not touch what is discarded
            discard(c, h);
        break;
    case 5:
        if (h->r)
            EXPECT(diskalloc_region_refresh(h->r));
        if (h->r)
            forget_behind(h, diskalloc_region_size(h->r));
        break;
    case 6:
        if (h->r)
            EXPECT(diskalloc_region_commit(h->r, diskalloc_region_size(h->r) / 8 * 8, 8, 0));
        break;
    default:
        if (h->r)
            resize(c, h);
        else
            open_or_close(c, h, common);
    }
    look(h);
}

static pid_t start_client(const char *address, struct shared *s, unsigned i, unsigned life)
{
    struct client c = {.seed = first_seed() + 100 * life + i};
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (diskalloc_open(address, NULL, &c.da) < 0) // the daemon may just be down
        usleep(1000);
    while (s->rounds[i] < ROUNDS && !s->stop) {
        do_something(&c);
        s->rounds[i]++;
    }
    for (int k = 0; k < OWN; k++)
        if (c.own[k].r)
            open_or_close(&c, &c.own[k], false);
    if (c.common.r)
        open_or_close(&c, &c.common, true);
    if (c.child > 0)
        fork_child(&c);
    diskalloc_close(c.da);
    _exit(0);
}

struct scene {
    struct test_daemon daemon;
    struct user_database database;
    struct shared *shared;
    pid_t clients[CLIENTS];
    unsigned seed, lives;
};

static void disconnect_everybody(struct scene *s)
{
    uint64_t n = 0;
    struct raw c;

    if (raw_open(&c, s->daemon.socket) == RAW_CODE(OK))
        raw_disconnect_user(&c, "+0", &n);
    raw_close(&c);
}

static void disturb(struct scene *s)
{
    unsigned i = (unsigned)rand_r(&s->seed) % CLIENTS;

    switch (rand_r(&s->seed) % 6) {
    case 0:
        test_daemon_kill(&s->daemon, SIGKILL);
        test_daemon_restart(&s->daemon);
        break;
    case 1:
        test_daemon_stop(&s->daemon);
        test_daemon_restart(&s->daemon);
        break;
    case 2:
        disconnect_everybody(s);
        break;
    case 3:
        if (s->clients[i] == 0)
            break;
        kill(s->clients[i], SIGKILL);
        waitpid(s->clients[i], NULL, 0);
        s->clients[i] = start_client(s->daemon.address, s->shared, i, ++s->lives);
        break;
    case 4:
        user_database_mode(&s->database, "away");
        break;
    default:
        user_database_mode(&s->database, "");
    }
}

static bool is_over(const struct scene *s)
{
    for (int i = 0; i < CLIENTS; i++)
        if (s->shared->rounds[i] < ROUNDS)
            return false;
    return true;
}

// The first client that has ended badly ends the test.
static void expect_alive(struct scene *s)
{
    int status;

    for (int i = 0; i < CLIENTS; i++) {
        if (s->clients[i] == 0 || waitpid(s->clients[i], &status, WNOHANG) != s->clients[i])
            continue;
        s->clients[i] = 0;
        if (status != 0)
            fail_msg("client %d ended with wait status 0x%x (seed %u)", i, status, first_seed());
    }
}

static bool no_file_is_left(void *data)
{
    return test_count_files(((struct scene *)data)->daemon.spill) == 0;
}

static void the_promises_hold_whatever_happens(void **state)
{
    struct scene s = {.seed = first_seed()};
    struct diskalloc_usage u;
    struct diskalloc *da;
    struct timespec pause = {.tv_nsec = 30000000};

    (void)state;
    if (geteuid() != 0)
        skip();
    s.shared = mmap(NULL, sizeof *s.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s.shared != MAP_FAILED);
    user_database_make(&s.database);
    test_daemon_start(&s.daemon, CONFIG, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        s.clients[i] = start_client(s.daemon.address, s.shared, i, 0);
    while (!is_over(&s)) {
        expect_alive(&s);
        disturb(&s);
        nanosleep(&pause, NULL);
    }
    user_database_mode(&s.database, "");
    for (int i = 0; i < CLIENTS; i++) {
        int status = 0;

        assert_true(s.clients[i] == 0 || waitpid(s.clients[i], &status, 0) == s.clients[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(diskalloc_open(s.daemon.address, NULL, &da), 0);
    diskalloc_region_unlink(da, "common");
    test_wait_until(nothing_is_charged, da, 30, "nothing to be charged");
    assert_int_equal(diskalloc_get_usage(da, "total", &u, sizeof u), 0);
    assert_int_equal(u.bytes, 0);
    test_wait_until(no_file_is_left, &s, 30, "all files to be removed");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&s.daemon);
    user_database_remove(&s.database);
    munmap(s.shared, sizeof *s.shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_promises_hold_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
