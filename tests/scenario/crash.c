// The daemon and clients are killed at random moments, while eight clients do everything that a client can do.  After
// each kill every living client finds all its bytes, and the charges are what the clients have and what the files
// are.
//
// A moment is a number of requests: the client that makes the last one kills, while the others' are on their way.
// DISKALLOC_CRASH_KILLS=N sets how many, DISKALLOC_TEST_SEED=N which.
#include "tests/lib/random_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

#include <ftw.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <time.h>

#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

enum { USUAL_KILLS = SANITIZED ? 16 : 64, KILL_SECONDS = 10 };

struct scene {
    struct test_backend b;
    struct crash_shared *shared;
    struct actor actors[CRASH_CLIENTS];
    struct crash_client clients[CRASH_CLIENTS];
    uint64_t state;
    unsigned n_daemons, n_clients;
};

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

struct sums {
    uint64_t charge, regions;
};

static struct sums on_disk;

static int weigh(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    struct ranges holes = {0};
    struct record record;
    uint64_t size = (uint64_t)st->st_size;
    int fd;

    if (type != FTW_F || path[ftw->base] == '.')
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    // Removed meanwhile: then the daemon's numbers do not agree yet, and are asked for again.
    if (fd < 0)
        return 0;
    if (record_load(&file_ops_system, fd, &record) == 0 && record.flags & RECORD_HAS_HOLES)
        spillfile_read_holes(fd, size, 4096, &holes);
    on_disk.charge += ((size + 4095) & ~UINT64_C(4095)) - holes.sum;
    on_disk.regions++;
    ranges_deinit(&holes);
    close(fd);
    return 0;
}

struct agreement {
    struct scene *scene;
    struct sums clients, daemon;
};

static bool all_sums_agree(void *data)
{
    struct agreement *a = data;
    struct scene *s = a->scene;
    struct diskalloc_usage u = {0};

    a->clients = (struct sums){0};
    for (int i = 0; i < CRASH_CLIENTS; i++) {
        a->clients.charge += s->shared->charge[i];
        a->clients.regions += s->shared->regions[i];
    }
    on_disk = (struct sums){0};
    nftw(s->b.daemon.spill, weigh, 8, FTW_PHYS);
    assert_int_equal(diskalloc_get_usage(s->b.da, "total", &u, sizeof u), 0);
    a->daemon = (struct sums){u.bytes, u.regions};
    return memcmp(&a->clients, &a->daemon, sizeof a->clients) == 0 &&
           memcmp(&a->clients, &on_disk, sizeof on_disk) == 0;
}

static bool all_sums_agree_in_time(void *data)
{
    static const struct timespec pause = {.tv_nsec = 2000000};
    struct agreement *a = data;

    // The orphans of killed clients go one after the other; the slow sweep runs every ten seconds.
    for (int i = 0; i < 10000; i++, nanosleep(&pause, NULL))
        if (all_sums_agree(a))
            return true;
    return false;
}

static void start_client(struct scene *s, int i)
{
    struct crash_client *c = &s->clients[i];

    *c = (struct crash_client){.shared = s->shared, .id = i, .generation = c->generation + 1};
    c->round = s->shared->round;
    actor_start(&s->actors[i], crash_walk, c, (uid_t)-1);
    actor_await(&s->actors[i]);
    actor_go(&s->actors[i]);
}

static void check_everything(struct scene *s)
{
    struct agreement a = {.scene = s};

    s->shared->round++;
    for (int i = 0; i < CRASH_CLIENTS; i++)
        actor_await(&s->actors[i]);
    if (!all_sums_agree_in_time(&a))
        fail_msg("DISKALLOC_TEST_SEED=%" PRIu64 ", kill %u: the clients have %" PRIu64 " in %" PRIu64
                 ", the daemon charges %" PRIu64 " in %" PRIu64 ", the files are %" PRIu64 " in %" PRIu64,
                 s->shared->seed, s->n_daemons + s->n_clients, a.clients.charge, a.clients.regions, a.daemon.charge,
                 a.daemon.regions, on_disk.charge, on_disk.regions);
    for (int i = 0; i < CRASH_CLIENTS; i++)
        actor_go(&s->actors[i]);
}

static void bury_client(struct scene *s, int i)
{
    int status;

    assert_int_equal(waitpid(s->actors[i].pid, &status, 0), s->actors[i].pid);
    close(s->actors[i].to);
    close(s->actors[i].from);
    assert_true(WIFSIGNALED(status));
    s->n_clients++;
    start_client(s, i);
}

// Waits until a child has died, and checks that the right one did.
static void kill_one(struct scene *s)
{
    // Each fifth is a client.
    int i = crash_random(&s->state) % 5 == 0 ? (int)(crash_random(&s->state) % CRASH_CLIENTS) : -1;
    siginfo_t info = {0};

    s->shared->victim = i < 0 ? s->b.daemon.pid : s->actors[i].pid;
    s->shared->fuse = 1 + (int)(crash_random(&s->state) % 60);
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    if (info.si_pid != s->shared->victim)
        fail_msg("DISKALLOC_TEST_SEED=%llu, kill %u: process %d ended (code %d, status %d), the daemon is %d",
                 (unsigned long long)s->shared->seed, s->n_daemons + s->n_clients, (int)info.si_pid, info.si_code,
                 info.si_status, (int)s->b.daemon.pid);
    if (i >= 0) {
        bury_client(s, i);
        return;
    }
    s->n_daemons++;
    test_daemon_kill(&s->b.daemon, SIGKILL);
    test_daemon_restart(&s->b.daemon);
}

static void end_clients(struct scene *s)
{
    s->shared->stop = true;
    for (int i = 0; i < CRASH_CLIENTS; i++)
        actor_finish(&s->actors[i]);
}

static void nothing_is_lost_whoever_is_killed_and_when(void **state)
{
    static struct scene s;
    uint64_t kills = number_from("DISKALLOC_CRASH_KILLS", USUAL_KILLS);

    (void)state;
    alarm((unsigned)(kills * KILL_SECONDS));
    test_daemon_start(&s.b.daemon, NULL, NULL);
    s.b.remote = true;
    s.shared = mmap(NULL, sizeof *s.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s.shared != MAP_FAILED);
    s.shared->address = s.b.daemon.address;
    s.shared->seed = number_from("DISKALLOC_TEST_SEED", 90210);
    s.state = crash_mix(s.shared->seed) | 1;
    print_message("DISKALLOC_TEST_SEED=%llu DISKALLOC_CRASH_KILLS=%llu\n", (unsigned long long)s.shared->seed,
                  (unsigned long long)kills);
    for (int i = 0; i < CRASH_CLIENTS; i++)
        start_client(&s, i);
    assert_int_equal(diskalloc_open(s.b.daemon.address, NULL, &s.b.da), 0);
    while (s.n_daemons + s.n_clients < kills) {
        kill_one(&s);
        check_everything(&s);
    }
    end_clients(&s);
    print_message("%u daemons and %u clients killed in %llu steps\n", s.n_daemons, s.n_clients,
                  (unsigned long long)s.shared->steps);
    test_wait_until(nothing_is_charged, s.b.da, 30, "everything has been given back");
    assert_int_equal(test_count_files(s.b.daemon.spill), 0);
    munmap(s.shared, sizeof *s.shared);
    backend_stop(&s.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_lost_whoever_is_killed_and_when),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
