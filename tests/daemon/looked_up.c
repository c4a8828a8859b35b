// Programs that end while the user database is asked on their behalf.
#include "tests/lib/place.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"
#include "tests/lib/user_database.h"

enum { N = 30, FIRST_UID = 71000 };

static uint64_t send_usage(struct raw *c, const char *subject)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text(subject);
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    return raw_send(c, &q);
}

static void send_cancel(struct raw *c, uint64_t target)
{
    Diskalloc__V1__Cancel body = DISKALLOC__V1__CANCEL__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.target = target;
    q.body_case = RAW_BODY(CANCEL);
    q.cancel = &body;
    assert_int_not_equal(raw_send(c, &q), 0);
}

static bool all_have_gone(void *data)
{
    return USAGE_OF((struct raw *)data, "total", connections) == 1;
}

// The Cancel that waits for a request is answered when the request ends, but not to a program that has gone.
static void a_request_that_is_cancelled_ends_with_its_program(void **state)
{
    struct place p;

    (void)state;
    place_start(&p, NULL);
    user_database_mode(&database, "slow 100");
    for (uid_t i = 0; i < N; i++) {
        uint64_t id;
        char subject[32];
        struct raw c;

        assert_int_equal(raw_open(&c, p.d.socket), RAW_CODE(OK));
        snprintf(subject, sizeof subject, "user:+%u", (unsigned)(FIRST_UID + i));
        id = send_usage(&c, subject);
        send_cancel(&c, id);
        assert_int_equal(USAGE_OF(&p.root, "total", bytes), 0); // the daemon has read both
        raw_close(&c);
    }
    user_database_mode(&database, "");
    test_wait_until(all_have_gone, &p.root, 60, "all connections are gone");
    place_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(a_request_that_is_cancelled_ends_with_its_program)};

    return cmocka_run_group_tests(tests, make_database, remove_database);
}
