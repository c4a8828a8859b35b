// The death of a waiting client, its timeout, a Cancel and a grant happen at random moments: exactly one of them
// wins, and the charges tell which one.
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

enum { ROUNDS = SANITIZED ? 150 : 400 };
#define FOR_EVER UINT64_MAX
#define LIMIT (2 * MIB)

struct stage {
    struct test_daemon daemon;
    struct raw admin, waiter, holder;
    struct raw_handle held, wanted;
    uint64_t random, n_granted, n_cancelled, n_timed_out, n_died;
    volatile uint64_t sink;
};

static uint64_t below(struct stage *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % n;
}

// From nothing to about a millisecond of work.
static void dawdle(struct stage *s)
{
    uint64_t n = below(s, 3) ? below(s, 300000) : below(s, 3000);

    for (uint64_t i = 0; i < n; i++)
        s->sink += i ^ s->sink;
}

static void open_waiter(struct stage *s)
{
    assert_int_equal(raw_open(&s->waiter, s->daemon.socket), RAW_CODE(OK));
    s->wanted = raw_handle_new();
    assert_int_equal(raw_create(&s->waiter, &s->wanted, 0), RAW_CODE(OK));
}

static void stage_start(struct stage *s)
{
    memset(s, 0, sizeof(*s));
    s->random = (uint64_t)getpid() * 0x9e3779b97f4a7c15 | 1;
    print_message("seed %llu\n", (unsigned long long)s->random);
    test_daemon_start(&s->daemon, "[daemon]\nkeep_free = 0\n[quota total]\nbytes = 2M\n", NULL);
    assert_int_equal(raw_open(&s->admin, s->daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_open(&s->holder, s->daemon.socket), RAW_CODE(OK));
    s->held = raw_handle_new();
    assert_int_equal(raw_create(&s->holder, &s->held, LIMIT), RAW_CODE(OK));
    open_waiter(s);
}

static void stage_stop(struct stage *s)
{
    print_message("granted %llu, cancelled %llu, timed out %llu, died %llu\n", (unsigned long long)s->n_granted,
                  (unsigned long long)s->n_cancelled, (unsigned long long)s->n_timed_out,
                  (unsigned long long)s->n_died);
    raw_close(&s->waiter);
    raw_close(&s->holder);
    AWAIT_USAGE(&s->admin, "total", bytes, 0);
    AWAIT_USAGE(&s->admin, "total", regions, 0);
    assert_int_equal(USAGE_OF(&s->admin, "total", waiters), 0);
    raw_close(&s->admin);
    assert_int_equal(test_count_files(s->daemon.spill), 0);
    test_daemon_stop_and_remove(&s->daemon);
}

static uint64_t send_shrink(struct stage *s)
{
    Diskalloc__V1__ShrinkRegion body = DISKALLOC__V1__SHRINK_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(&s->held);
    body.size = MIB;
    body.known_size = LIMIT;
    q.body_case = RAW_BODY(SHRINK_REGION);
    q.shrink_region = &body;
    return raw_send(&s->holder, &q);
}

static void await_shrink(struct stage *s, uint64_t id)
{
    RawReply *reply = raw_answer(&s->holder);

    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->id, id);
    assert_int_equal(reply->region->size, MIB);
    raw_free(reply);
}

// The waiter's reply, and the Cancel's after it: the outcome.
static int await_outcome(struct stage *s, uint64_t id, uint64_t cancel)
{
    RawReply *reply = raw_answer(&s->waiter);
    int code = raw_code(reply);

    assert_non_null(reply);
    assert_int_equal(reply->id, id);
    if (code == RAW_CODE(OK))
        assert_int_equal(reply->region->size, MIB);
    raw_free(reply);
    if (cancel) {
        reply = raw_answer(&s->waiter);
        assert_int_equal(raw_code(reply), RAW_CODE(OK));
        assert_int_equal(reply->id, cancel);
        raw_free(reply);
    }
    assert_false(raw_has_reply(&s->waiter));
    return code;
}

// As before the round: the holder has all.
static void take_back(struct stage *s, bool granted)
{
    RawReply *reply;
    uint64_t id;

    if (granted)
        assert_int_equal(raw_shrink(&s->waiter, &s->wanted, 0, MIB), RAW_CODE(OK));
    id = raw_send_grow(&s->holder, &s->held, LIMIT, 0);
    reply = raw_answer(&s->holder);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->id, id);
    raw_free(reply);
    assert_int_equal(USAGE_OF(&s->admin, "total", bytes), LIMIT);
    assert_int_equal(USAGE_OF(&s->admin, "total", waiters), 0);
}

static void check_charge(struct stage *s, int outcome)
{
    bool granted = outcome == RAW_CODE(OK);

    assert_int_equal(USAGE_OF(&s->admin, "total", bytes), granted ? LIMIT : MIB);
    assert_int_equal(USAGE_OF(&s->admin, "total", waiters), 0);
    s->n_granted += granted;
    s->n_cancelled += outcome == RAW_CODE(CANCELLED);
    s->n_timed_out += outcome == RAW_CODE(TIMED_OUT);
    take_back(s, granted);
}

static void a_cancel_and_a_grant_that_cross_end_in_one_of_them(void **state)
{
    struct stage s;

    (void)state;
    stage_start(&s);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t id = raw_send_grow(&s.waiter, &s.wanted, MIB, FOR_EVER), shrink, cancel;
        bool cancel_first = below(&s, 2);
        int outcome;

        dawdle(&s);
        cancel = cancel_first ? raw_send_cancel(&s.waiter, id) : 0;
        dawdle(&s);
        shrink = send_shrink(&s);
        if (!cancel_first) {
            dawdle(&s);
            cancel = raw_send_cancel(&s.waiter, id);
        }
        outcome = await_outcome(&s, id, cancel);
        assert_true(outcome == RAW_CODE(OK) || outcome == RAW_CODE(CANCELLED));
        await_shrink(&s, shrink);
        check_charge(&s, outcome);
    }
    assert_true(s.n_cancelled > 0);
    stage_stop(&s);
}

static void a_timeout_and_a_grant_that_cross_end_in_one_of_them(void **state)
{
    uint64_t work = 1; // goes to where they meet, however fast the machine is
    struct stage s;

    (void)state;
    stage_start(&s);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t id = raw_send_grow(&s.waiter, &s.wanted, MIB, 1 + below(&s, 2)), shrink;
        bool with_cancel = below(&s, 3) == 0;
        int outcome;

        for (uint64_t n = 0; n < work; n++)
            dawdle(&s);
        shrink = send_shrink(&s);
        dawdle(&s);
        outcome = await_outcome(&s, id, with_cancel ? raw_send_cancel(&s.waiter, id) : 0);
        assert_true(outcome == RAW_CODE(OK) || outcome == RAW_CODE(TIMED_OUT) ||
                    (with_cancel && outcome == RAW_CODE(CANCELLED)));
        if (outcome != RAW_CODE(TIMED_OUT))
            work++;
        else if (work > 1)
            work--;
        await_shrink(&s, shrink);
        check_charge(&s, outcome);
    }
    assert_true(s.n_timed_out > 0);
    stage_stop(&s);
}

// The dead client does not learn whether the grow was granted; in the end nothing of it is charged, and the next grow
// in the queue is granted.
static void a_death_and_a_grant_that_cross_leave_nothing_and_the_next_is_served(void **state)
{
    struct stage s;

    (void)state;
    stage_start(&s);
    for (int i = 0; i < ROUNDS; i++) {
        struct raw next;
        struct raw_handle h = raw_handle_new();
        uint64_t shrink, id;
        RawReply *reply;

        assert_int_equal(raw_open(&next, s.daemon.socket), RAW_CODE(OK));
        assert_int_equal(raw_create(&next, &h, 0), RAW_CODE(OK));
        raw_send_grow(&s.waiter, &s.wanted, MIB, below(&s, 2) ? FOR_EVER : 1);
        dawdle(&s);
        id = raw_send_grow(&next, &h, MIB, FOR_EVER);
        dawdle(&s);
        if (below(&s, 2)) {
            shrink = send_shrink(&s);
            dawdle(&s);
            raw_close(&s.waiter);
        } else {
            raw_close(&s.waiter);
            dawdle(&s);
            shrink = send_shrink(&s);
        }
        await_shrink(&s, shrink);
        reply = raw_answer(&next);
        assert_int_equal(raw_code(reply), RAW_CODE(OK));
        assert_int_equal(reply->id, id);
        raw_free(reply);
        s.n_died++;
        AWAIT_USAGE(&s.admin, "total", regions, 2);
        assert_int_equal(USAGE_OF(&s.admin, "total", bytes), LIMIT);
        raw_close(&next);
        AWAIT_USAGE(&s.admin, "total", regions, 1);
        open_waiter(&s);
        take_back(&s, false);
    }
    stage_stop(&s);
}

// The next daemon knows nothing of waiting requests, and its charges are what the files say.
static void waiters_do_not_survive_the_daemon_and_hold_nothing(void **state)
{
    struct stage s;
    RawReply *reply;

    (void)state;
    stage_start(&s);
    raw_send_grow(&s.waiter, &s.wanted, MIB, FOR_EVER);
    AWAIT_USAGE(&s.admin, "total", waiters, 1);
    test_daemon_kill(&s.daemon, SIGKILL);
    reply = raw_answer(&s.waiter);
    assert_null(reply);
    test_daemon_restart(&s.daemon);
    raw_close(&s.admin);
    assert_int_equal(raw_open(&s.admin, s.daemon.socket), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&s.admin, "total", waiters), 0);
    stage_stop(&s);
}

static void a_daemon_that_ends_answers_who_waits(void **state)
{
    struct stage s;
    RawReply *reply;

    (void)state;
    stage_start(&s);
    raw_send_grow(&s.waiter, &s.wanted, MIB, FOR_EVER);
    AWAIT_USAGE(&s.admin, "total", waiters, 1);
    test_daemon_stop(&s.daemon);
    // Its word may not have been sent any more, but it has never been granted.
    reply = raw_answer(&s.waiter);
    assert_true(raw_code(reply) != RAW_CODE(OK));
    raw_free(reply);
    test_daemon_restart(&s.daemon);
    raw_close(&s.admin);
    assert_int_equal(raw_open(&s.admin, s.daemon.socket), RAW_CODE(OK));
    stage_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cancel_and_a_grant_that_cross_end_in_one_of_them),
        TEST(a_timeout_and_a_grant_that_cross_end_in_one_of_them),
        TEST(a_death_and_a_grant_that_cross_leave_nothing_and_the_next_is_served),
        TEST(waiters_do_not_survive_the_daemon_and_hold_nothing),
        TEST(a_daemon_that_ends_answers_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
