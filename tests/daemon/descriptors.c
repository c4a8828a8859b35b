// A daemon whose descriptors run out: clients that are connected are served as before, further ones are turned away
// until one leaves, and the log says why.
#include "tests/lib/quota_usage.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_daemon.h"

#include <sys/resource.h>

enum { FEW = 200 }; // descriptors of the daemon

static void limit_descriptors(void)
{
    const struct rlimit few = {FEW, FEW};

    setrlimit(RLIMIT_NOFILE, &few);
}

struct newcomer {
    const char *socket;
    struct raw c;
};

static bool can_connect(void *data)
{
    struct newcomer *n = data;

    if (raw_open(&n->c, n->socket) == RAW_CODE(OK))
        return true;
    raw_close(&n->c);
    return false;
}

static void who_is_connected_is_served_and_others_when_one_has_left(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct raw connected[FEW];
    struct newcomer newcomer;
    struct test_daemon d;
    int n = 0, code;

    (void)state;
    test_daemon_prepare(limit_descriptors);
    test_daemon_start(&d, NULL, NULL);
    test_daemon_prepare(NULL);
    while (n < FEW && (code = raw_open(&connected[n], d.socket)) == RAW_CODE(OK))
        n++;
    assert_in_range(n, 1, FEW - 1);
    assert_int_equal(code, RAW_CODE(PROTOCOL)); // the connection was closed
    raw_close(&connected[n]);
    await_log(&d, "no further connections are accepted until a descriptor is free: Too many open files", 1);
    assert_int_equal(raw_create(&connected[0], &h, 4096), RAW_CODE(OK)); // these need descriptors as well
    assert_int_equal(raw_grow(&connected[0], &h, MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&connected[0], "", connections), n);
    raw_close(&connected[--n]);
    newcomer.socket = d.socket;
    test_wait_until(can_connect, &newcomer, 60, "somebody else connects");
    assert_int_equal(USAGE_OF(&newcomer.c, "", bytes), MIB);
    raw_close(&newcomer.c);
    while (n > 0)
        raw_close(&connected[--n]);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_connected_is_served_and_others_when_one_has_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
