// A region that very many connections have attached: a request on it costs what it costs with one of them, and so
// does everybody else's.
#include "tests/lib/bystander.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include <sys/resource.h>
#include <time.h>

enum { MANY = 4000, ASKED = 2000, GROWS = 200 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 10000\n";

static int attach(struct raw *c, const struct raw_handle *h, uint32_t flags)
{
    Diskalloc__V1__AttachRegion body = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.flags = flags;
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &body;
    return raw_done(c, &q);
}

// Returns the number of attachments.
static unsigned ask(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__StatRegion body = DISKALLOC__V1__STAT_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    unsigned n;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(STAT_REGION);
    q.stat_region = &body;
    reply = raw_call(c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    n = reply->region->attachments;
    raw_free(reply);
    return n;
}

// In ns.
static uint64_t time_of_asking(struct raw *c, const struct raw_handle *h)
{
    struct timespec before, after;

    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < ASKED; i++)
        ask(c, h);
    clock_gettime(CLOCK_MONOTONIC, &after);
    return ((uint64_t)(after.tv_sec - before.tv_sec) * 1000000000 + (uint64_t)(after.tv_nsec - before.tv_nsec)) / ASKED;
}

static void requests_cost_the_same_with_many_attachers(void **state)
{
    static struct raw c[MANY];
    struct rlimit files;
    struct bystander_times quiet, meanwhile;
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    uint64_t few, many;
    struct raw first;

    (void)state;
    assert_return_code(getrlimit(RLIMIT_NOFILE, &files), errno);
    if (files.rlim_max < 2 * MANY) {
        print_message("[ NOTE     ] too few descriptors\n");
        skip();
        return;
    }
    files.rlim_cur = files.rlim_max;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &files), errno);
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&first, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&first, &h, MIB), RAW_CODE(OK));
    quiet = bystander_grow(d.socket, (uid_t)-1, GROWS);
    few = time_of_asking(&first, &h);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(raw_open(&c[i], d.socket), RAW_CODE(OK));
        assert_int_equal(attach(&c[i], &h, i % 2 ? 0 : DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY), RAW_CODE(OK));
    }
    assert_int_equal(ask(&c[MANY - 1], &h), MANY + 1);
    many = time_of_asking(&c[MANY - 1], &h);
    // All of them are this process's, which does not keep itself out.
    assert_int_equal(attach(&first, &h, DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER), RAW_CODE(OK));
    meanwhile = bystander_grow(d.socket, (uid_t)-1, GROWS);
    print_message("[ NOTE     ] a request: %lu ns, and %lu ns with %d attachers\n", (unsigned long)few,
                  (unsigned long)many, MANY);
    bystander_print("many attachers", quiet, quiet, meanwhile);
    for (int i = 1; i < MANY; i += 2) // the writers
        raw_close(&c[i]);
    while (ask(&first, &h) > MANY / 2 + 1)
        continue;
    for (int i = 0; i < MANY; i += 2)
        raw_close(&c[i]);
    while (ask(&first, &h) > 1)
        continue;
    raw_close(&first);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_cost_the_same_with_many_attachers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
