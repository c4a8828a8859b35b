// Several processes resize one region up and down, follow each other, agree to cuts or don't, come and go, lose their
// connections, and are killed.  No one of those that live loses a byte that it may use, and the charge is exact.
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"

#include <stdatomic.h>
#include <sys/mman.h>

enum { PROCESSES = 5, STEPS = SANITIZED ? 300 : 1500, MOST = 64 }; // MOST: pages

// Of all processes: how often a region that others had attached was cut, and how often one of them did not agree.
static struct {
    atomic_uint cut, refused;
} * outcomes;

struct player {
    const char *address;
    unsigned seed;
};

static unsigned next(struct player *p)
{
    p->seed = p->seed * 1103515245 + 12345;
    return p->seed >> 16;
}

// Every byte of it: a SIGBUS or a SIGSEGV would end this process.
static void use(struct diskalloc_region *r, bool writes)
{
    volatile char *data = diskalloc_region_data(r);
    uint64_t size = diskalloc_region_size(r);

    for (uint64_t i = 0; i < size; i += 1024) {
        char byte = data[i];

        if (writes)
            data[i] = (char)(byte + 1);
    }
    if (size > 0)
        (void)data[size - 1];
}

static bool is_expected(int r)
{
    return r >= 0 || r == -EBUSY || r == -ECONNRESET;
}

static void step(struct player *p, struct diskalloc *da, struct diskalloc_region *r, bool read_only)
{
    uint64_t pages = next(p) % MOST, before = diskalloc_region_size(r);
    struct diskalloc_event e;
    int result = 0;

    switch (next(p) % 8) {
    case 0:
        if (!read_only)
            result = diskalloc_region_resize_wait(r, pages * 4096 + next(p) % 2, (int)(next(p) % 20) + 1);
        break;
    case 1:
        if (!read_only)
            result = diskalloc_region_resize_wait(r, diskalloc_region_size(r) + next(p) % 4 * 4096, 1);
        break;
    case 2:
        while (diskalloc_next_event(da, &e, sizeof e) == 1)
            continue;
        break;
    case 3:
        if (!read_only)
            result = diskalloc_region_commit(r, diskalloc_region_size(r), 1, 0);
        result = result == -EINVAL ? 0 : result; // another has cut it in a way that this process agreed to
        break;
    default:
        result = diskalloc_region_refresh(r);
    }
    outcomes->cut += result == 0 && !read_only && diskalloc_region_size(r) < before;
    outcomes->refused += result == -EBUSY;
    if (!is_expected(result))
        fprintf(stderr, "%d: %s\n", result, diskalloc_last_error());
    NEED(is_expected(result));
    use(r, !read_only);
}

static void play(struct actor *self, void *data)
{
    struct player p = *(const struct player *)data;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    bool read_only = false;
    int e;

    actor_wait(self);
    p.seed += (unsigned)getpid();
    while ((e = diskalloc_open(p.address, NULL, &da)) == -ECONNREFUSED)
        continue; // it was disconnected before it was let in
    NEED(e == 0);
    for (int i = 0; i < STEPS; i++) {
        if (!r || next(&p) % 50 == 0) {
            diskalloc_region_close(r);
            read_only = next(&p) % 3 == 0;
            NEED(open_named(da, "shared", 0, read_only ? DISKALLOC_REGION_READ_ONLY : 0, &r) == 0);
        }
        step(&p, da, r, read_only);
    }
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
}

static void no_process_loses_what_it_may_use(struct test_backend *b)
{
    struct player players[PROCESSES];
    struct actor actors[PROCESSES];
    struct diskalloc_region *r = NULL;
    struct diskalloc_usage u;
    struct raw admin;
    unsigned cut, refused;
    uint64_t n;
    char uid[20];

    outcomes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(outcomes != MAP_FAILED);
    for (int i = 0; i < PROCESSES; i++) {
        players[i] = (struct player){.address = b->address, .seed = (unsigned)i * 7919};
        actor_start(&actors[i], play, &players[i], (uid_t)-1);
    }
    assert_int_equal(open_named(b->da, "shared", 0, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(raw_open(&admin, b->daemon.socket), RAW_CODE(OK));
    snprintf(uid, sizeof uid, "+%u", (unsigned)geteuid());
    for (int i = 0; i < PROCESSES; i++)
        actor_go(&actors[i]);
    actor_kill(&actors[0]); // somewhere in the middle of something
    for (int i = 0; i < 5; i++) {
        assert_int_equal(raw_disconnect_user(&admin, uid, &n), RAW_CODE(OK));
        usage_of(b->da);
    }
    for (int i = 1; i < PROCESSES; i++) {
        actor_await(&actors[i]);
        actor_finish(&actors[i]);
    }
    raw_close(&admin);
    cut = outcomes->cut;
    refused = outcomes->refused;
    munmap(outcomes, 4096);
    print_message("[ NOTE     ] cut %u times, refused %u times\n", cut, refused);
    assert_true(cut > 0 && refused > 0);
    assert_int_equal(open_named(b->da, "shared", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_resize_wait(r, 5 * 4096, 60000), 0);
    use(r, true);
    u = usage_of(b->da);
    assert_int_equal(u.bytes, 5 * 4096);
    assert_int_equal(u.regions, 1);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "shared"), 0);
}

static void no_process_loses_what_it_may_use_with_a_daemon(void **state)
{
    (void)state;
    backend_run(true, NULL, no_process_loses_what_it_may_use);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_process_loses_what_it_may_use_with_a_daemon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
