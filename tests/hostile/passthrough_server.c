// Attacks on the server of the passthrough fence, and its end: nobody else has to wait for long, and nobody loses
// memory.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "tests/lib/actor.h"
#include "tests/lib/bystander.h"
#include "tests/lib/fenced.h"
#include "tests/lib/passthrough.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_backend.h"

enum { SIZE = 1 << 20, ATTACKER = 4242, THREADS = 32, CREATES = 200, IN_FLIGHT = 100 };

static atomic_bool stops;

// Requests of all kinds, and an fsync that has something to write each time.
static void *hammer(void *data)
{
    struct diskalloc_region *r = data;
    _Atomic char *memory = diskalloc_region_data(r);
    char path[64], byte;
    int fd = diskalloc_region_fd(r);
    struct stat st;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    while (!stops) {
        memory[0]++;
        NEED(fsync(fd) == 0 || errno == EAGAIN);
        NEED(pread(fd, &byte, 1, 0) == 1 || errno == EAGAIN);
        NEED(fstat(fd, &st) == 0 || errno == EAGAIN);
        NEED(pwrite(fd, "x", 1, 0) < 0);
        NEED(ftruncate(fd, 0) < 0);
        NEED(open(path, O_RDWR | O_CLOEXEC) < 0);
        lseek(fd, 0, SEEK_HOLE);
    }
    return NULL;
}

static void attack(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    const struct test_daemon *d = data;
    struct diskalloc_region *r;
    pthread_t threads[THREADS];
    struct diskalloc *da;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    NEED(diskalloc_open(d->address, NULL, &da) == 0);
    o.size = SIZE;
    NEED(diskalloc_region_create(da, &o, &r) == 0);
    NEED(diskalloc_region_fd(r) >= 0);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, hammer, r) == 0);
    actor_next(self);
    stops = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

// The work that needs the server: regions are made.
static struct bystander_times create(const struct test_daemon *d)
{
    uint64_t times[CREATES];
    struct raw c;

    assert_int_equal(raw_open(&c, d->socket), RAW_CODE(OK));
    for (int i = 0; i < CREATES; i++) {
        struct raw_handle h = raw_handle_new();

        times[i] = clock_now_us();
        assert_int_equal(raw_create(&c, &h, 4096), RAW_CODE(OK));
        times[i] = clock_now_us() - times[i];
    }
    raw_close(&c);
    qsort(times, CREATES, sizeof *times, compare);
    return (struct bystander_times){.median_us = times[CREATES / 2], .p99_us = times[CREATES - 1 - CREATES / 100]};
}

static void who_hammers_the_server_keeps_nobody_from_theirs(void **state)
{
    struct bystander_times quiet, meanwhile, quiet_grow, grow;
    struct test_daemon d;
    struct actor a;

    (void)state;
    test_daemon_start(&d, PASSTHROUGH_CONFIG, NULL);
    quiet = create(&d);
    quiet_grow = bystander_grow(d.socket, (uid_t)-1, 100);
    actor_start(&a, attack, &d, ATTACKER);
    actor_await(&a);
    meanwhile = create(&d);
    grow = bystander_grow(d.socket, (uid_t)-1, 100);
    print_message(
        "[ NOTE     ] %d threads of requests to the server: making a region takes %lu us (p99 %lu); when nothing "
        "else happens, %lu us (p99 %lu)\n",
        THREADS, meanwhile.median_us, meanwhile.p99_us, quiet.median_us, quiet.p99_us);
    bystander_print("requests to the server", quiet_grow, quiet_grow, grow);
    actor_go(&a);
    actor_finish(&a);
    test_daemon_stop_and_remove(&d);
}

static bool all_is_given_back(void *data)
{
    return USAGE_OF((struct raw *)data, "total", regions) == 0;
}

static void descriptors_in_flight_are_given_back(void **state)
{
    struct test_daemon d;
    struct raw c, admin;

    (void)state;
    test_daemon_start(&d, PASSTHROUGH_CONFIG, NULL);
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(raw_open_as(&c, d.socket, ATTACKER), RAW_CODE(OK));
        for (int i = 0; i < IN_FLIGHT; i++) {
            Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
            struct raw_handle h = raw_handle_new();
            RawRequest q = RAW_REQUEST_INIT;

            body.handle = raw_bytes(&h);
            q.body_case = RAW_BODY(CREATE_REGION);
            q.create_region = &body;
            raw_send(&c, &q);
        }
        create(&d);
        raw_close(&c);
        test_wait_until(all_is_given_back, &admin, 60, "nothing is charged any more");
    }
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
}

static bool is_another(void *data)
{
    const struct test_daemon *d = ((void **)data)[0];
    pid_t before = *(pid_t *)((void **)data)[1];

    return passthrough_server(d->pid) != before;
}

static void await_another(struct test_daemon *d, pid_t before)
{
    void *both[] = {d, &before};

    test_wait_until(is_another, both, 30, "there is another server");
}

static void expect_usable(struct fenced *f)
{
    char *data = diskalloc_region_data(f->region);

    for (uint64_t i = 0; i < diskalloc_region_size(f->region); i += 4096)
        assert_int_equal(data[i]++, 1);
    for (uint64_t i = 0; i < diskalloc_region_size(f->region); i += 4096)
        data[i] = 1;
}

static void when_the_server_is_killed_memory_stays_and_another_one_serves(void **state)
{
    struct diskalloc_region *again;
    struct fenced f;
    struct stat st;
    pid_t before;
    char *memory;

    (void)state;
    fenced_start(&f, "passthrough", SIZE);
    before = passthrough_server(f.daemon.pid);
    assert_return_code(kill(before, SIGKILL), errno);
    await_another(&f.daemon, before);
    assert_true(test_daemon_logged(&f.daemon, "the server of the passthrough fence has ended"));
    expect_usable(&f);
    assert_int_equal(fstat(f.fd, &st), -1);
    assert_int_equal(errno, ENOTCONN);
    assert_int_equal(ftruncate(f.fd, 0), -1);
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(memory[0], 1);
    munmap(memory, SIZE);

    // The region goes on, and others are made.
    assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
    assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
    create(&f.daemon);
    assert_int_equal(diskalloc_region_attach(f.da, diskalloc_region_handle(f.region), NULL, &again), 0);
    assert_int_equal(((char *)diskalloc_region_data(again))[4096], 1);
    diskalloc_region_close(again);
    fenced_stop(&f);
}

struct creation {
    struct test_daemon *d;
    int code;
    char why[200];
    pthread_t thread;
};

static void *create_one(void *data)
{
    struct creation *c = data;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    c->code = diskalloc_open(c->d->address, NULL, &da);
    if (c->code == 0)
        c->code = diskalloc_region_create(da, NULL, &r);
    snprintf(c->why, sizeof c->why, "%s", c->code < 0 ? diskalloc_last_error() : "");
    diskalloc_region_close(r);
    diskalloc_close(da);
    return NULL;
}

static void a_server_that_hangs_is_replaced_and_stops_only_who_needs_it(void **state)
{
    struct creation c;
    struct fenced f;
    pid_t before;

    (void)state;
    fenced_start(&f, "passthrough", SIZE);
    c.d = &f.daemon;
    before = passthrough_server(f.daemon.pid);
    assert_return_code(kill(before, SIGSTOP), errno);
    assert_int_equal(pthread_create(&c.thread, NULL, create_one, &c), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
        assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
    }
    await_another(&f.daemon, before);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    if (c.code != 0) {
        assert_int_equal(c.code, -ETIMEDOUT);
        assert_non_null(strstr(c.why, "the daemon's FUSE server does not answer"));
    }
    assert_true(test_daemon_logged(&f.daemon, "does not answer: it is killed"));
    create(&f.daemon);
    expect_usable(&f);
    fenced_stop(&f);
}

// An open that waits for the server must not keep the daemon's process, nor the lock of the spill directory.
static void a_daemon_ends_while_its_server_hangs(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct creation c;
        struct fenced f;

        fenced_start(&f, "passthrough", SIZE);
        c.d = &f.daemon;
        assert_return_code(kill(passthrough_server(f.daemon.pid), SIGSTOP), errno);
        assert_int_equal(pthread_create(&c.thread, NULL, create_one, &c), 0);
        if (killed)
            test_daemon_kill(&f.daemon, SIGKILL);
        else
            test_daemon_stop(&f.daemon);
        test_daemon_restart(&f.daemon);
        assert_int_equal(pthread_join(c.thread, NULL), 0);
        expect_usable(&f);
        assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
        assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
        fenced_stop(&f);
    }
}

static void a_killed_daemon_takes_no_memory_with_it(void **state)
{
    struct fenced f;
    char byte;

    (void)state;
    fenced_start(&f, "passthrough", SIZE);
    for (int i = 0; i < 5; i++) {
        test_daemon_kill(&f.daemon, SIGKILL);
        expect_usable(&f);
        test_daemon_restart(&f.daemon);
        assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
        assert_int_equal(diskalloc_region_discard(f.region, SIZE, SIZE / 2), 0);
        assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
        expect_usable(&f);
        // The program's descriptor has the same number, and works again when it is asked for.
        assert_int_equal(pread(f.fd, &byte, 1, 0), -1);
        assert_int_equal(diskalloc_region_fd(f.region), f.fd);
        assert_int_equal(pread(f.fd, &byte, 1, 0), 1);
        assert_int_equal(byte, 1);
    }
    fenced_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_hammers_the_server_keeps_nobody_from_theirs),
        TEST(descriptors_in_flight_are_given_back),
        TEST(when_the_server_is_killed_memory_stays_and_another_one_serves),
        TEST(a_server_that_hangs_is_replaced_and_stops_only_who_needs_it),
        TEST(a_daemon_ends_while_its_server_hangs),
        TEST(a_killed_daemon_takes_no_memory_with_it),
    };

    passthrough_need();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
