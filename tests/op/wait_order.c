// The order of waiting: the operations of one user are served in order, and users take turns.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

enum { USERS = 5, EACH = 20, WAITERS = USERS * EACH };
#define FOR_EVER UINT64_MAX
#define CONFIG "[daemon]\nkeep_free = 0\n[quota total]\nbytes = 100M\n"

// Uids that nobody has, far from those that useradd gives.
static const uid_t first_uid = 3000001;

struct crowd {
    struct test_daemon daemon;
    struct raw admin, user[USERS];
    struct raw_handle ballast, region[USERS][EACH];
    uint64_t id[USERS][EACH]; // of the request that waits
    uint64_t ballast_size;
};

static void crowd_start(struct crowd *c, int n_users)
{
    if (geteuid() != 0)
        test_skip_all("connecting as other uids needs root");
    memset(c, 0, sizeof(*c));
    test_daemon_start(&c->daemon, CONFIG, NULL);
    assert_int_equal(raw_open(&c->admin, c->daemon.socket), RAW_CODE(OK));
    c->ballast = raw_handle_new();
    c->ballast_size = WAITERS * MIB;
    assert_int_equal(raw_create(&c->admin, &c->ballast, c->ballast_size), RAW_CODE(OK));
    for (int u = 0; u < USERS; u++) {
        c->user[u].sock = -1;
        if (u < n_users)
            assert_int_equal(raw_open_as(&c->user[u], c->daemon.socket, first_uid + (uid_t)u), RAW_CODE(OK));
        for (int i = 0; u < n_users && i < EACH; i++) {
            c->region[u][i] = raw_handle_new();
            assert_int_equal(raw_create(&c->user[u], &c->region[u][i], 0), RAW_CODE(OK));
        }
    }
}

static void crowd_stop(struct crowd *c)
{
    for (int u = 0; u < USERS; u++)
        raw_close(&c->user[u]);
    raw_close(&c->admin);
    test_daemon_stop_and_remove(&c->daemon);
}

// And until the daemon has it in its queue.
static void ask(struct crowd *c, int u, int i, uint64_t size)
{
    uint64_t before = USAGE_OF(&c->admin, "total", waiters);

    c->id[u][i] = raw_send_grow(&c->user[u], &c->region[u][i], size, FOR_EVER);
    assert_int_not_equal(c->id[u][i], 0);
    AWAIT_USAGE(&c->admin, "total", waiters, before + 1);
}

static void give_back(struct crowd *c, uint64_t size)
{
    assert_int_equal(raw_shrink(&c->admin, &c->ballast, c->ballast_size - size, c->ballast_size), RAW_CODE(OK));
    c->ballast_size -= size;
}

// Waits for the next reply of anybody: its user.
static int next_served(struct crowd *c, uint64_t *ret_id)
{
    struct pollfd p[USERS];
    RawReply *reply;

    for (int u = 0; u < USERS; u++)
        p[u] = (struct pollfd){.fd = c->user[u].sock, .events = POLLIN};
    assert_true(poll(p, USERS, -1) > 0);
    for (int u = 0; u < USERS; u++) {
        if (!(p[u].revents & POLLIN))
            continue;
        reply = raw_answer(&c->user[u]);
        assert_int_equal(raw_code(reply), RAW_CODE(OK));
        *ret_id = reply->id;
        raw_free(reply);
        return u;
    }
    fail_msg("a connection was closed");
    return -1;
}

static void a_hundred_waiters_of_five_users_are_served_in_order_and_in_turns(void **state)
{
    struct crowd c;
    int served[USERS] = {0};

    (void)state;
    crowd_start(&c, USERS);
    // All of the first user's before all of the second's: a plain queue would serve the first one twenty times.
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < EACH; i++)
            ask(&c, u, i, MIB);
    assert_int_equal(USAGE_OF(&c.admin, "total", waiters), WAITERS);
    for (int n = 0; n < WAITERS; n++) {
        uint64_t id;
        int u;

        give_back(&c, MIB);
        u = next_served(&c, &id);
        assert_true(served[u] < EACH);
        assert_int_equal(id, c.id[u][served[u]]);
        served[u]++;
        for (int o = 0; o < USERS; o++)
            assert_in_range(served[o], n / USERS, n / USERS + 1);
        assert_int_equal(USAGE_OF(&c.admin, "total", waiters), WAITERS - n - 1);
        assert_int_equal(USAGE_OF(&c.admin, "total", bytes), 100 * MIB);
    }
    crowd_stop(&c);
}

static int index_of(const struct crowd *c, int u, uint64_t id)
{
    for (int i = 0; i < EACH; i++)
        if (c->id[u][i] == id)
            return i;
    fail_msg("a reply to nothing");
    return -1;
}

// Their replies come in any order, but they are the ones whose turn it was.
static void what_comes_back_at_once_serves_all_whom_it_suffices_for_each_users_first_ones(void **state)
{
    bool served[USERS][EACH] = {{0}};
    int n_served[USERS] = {0};
    struct crowd c;

    (void)state;
    crowd_start(&c, USERS);
    for (int i = 0; i < EACH; i++)
        for (int u = USERS - 1; u >= 0; u--)
            ask(&c, u, i, MIB);
    give_back(&c, 52 * MIB);
    for (int n = 0; n < 52; n++) {
        uint64_t id;
        int u = next_served(&c, &id), i = index_of(&c, u, id);

        assert_false(served[u][i]);
        served[u][i] = true;
        n_served[u]++;
    }
    for (int u = 0; u < USERS; u++) {
        assert_in_range(n_served[u], 10, 11);
        for (int i = 0; i < EACH; i++)
            assert_int_equal(served[u][i], i < n_served[u]);
    }
    assert_int_equal(USAGE_OF(&c.admin, "total", waiters), 48);
    assert_int_equal(USAGE_OF(&c.admin, "total", bytes), 100 * MIB);
    crowd_stop(&c);
}

static void a_smaller_request_does_not_pass_the_same_users_first(void **state)
{
    struct crowd c;
    uint64_t id;

    (void)state;
    crowd_start(&c, 1);
    ask(&c, 0, 0, 2 * MIB);
    ask(&c, 0, 1, MIB);
    give_back(&c, MIB);
    // Had the second been served, two would not be there for the first.
    give_back(&c, MIB);
    assert_int_equal(next_served(&c, &id), 0);
    assert_int_equal(id, c.id[0][0]);
    give_back(&c, MIB);
    next_served(&c, &id);
    assert_int_equal(id, c.id[0][1]);
    crowd_stop(&c);
}

static void one_who_leaves_the_queue_lets_the_next_of_that_user_forward(void **state)
{
    struct crowd c;
    RawReply *reply;
    uint64_t id, cancel;

    (void)state;
    crowd_start(&c, 2);
    ask(&c, 0, 0, 50 * MIB);
    ask(&c, 0, 1, MIB);
    give_back(&c, MIB);
    cancel = raw_send_cancel(&c.user[0], c.id[0][0]);
    // The replies to the cancelled grow, to its Cancel, and to the grow behind it, whose reply may come between them.
    for (int n = 0, cancelled = 0; n < 3; n++) {
        reply = raw_answer(&c.user[0]);
        assert_non_null(reply);
        id = reply->id;
        if (id == c.id[0][0]) {
            assert_int_equal(raw_code(reply), RAW_CODE(CANCELLED));
            cancelled = 1;
        } else {
            assert_int_equal(raw_code(reply), RAW_CODE(OK));
            assert_true(id == c.id[0][1] || (id == cancel && cancelled));
        }
        raw_free(reply);
    }
    // The same when its connection goes.
    ask(&c, 1, 0, 50 * MIB);
    ask(&c, 0, 2, MIB);
    raw_close(&c.user[1]);
    AWAIT_USAGE(&c.admin, "total", waiters, 1);
    give_back(&c, MIB);
    assert_int_equal(next_served(&c, &id), 0);
    assert_int_equal(id, c.id[0][2]);
    crowd_stop(&c);
}

static void a_user_who_waits_for_an_own_limit_holds_up_nobody_else(void **state)
{
    char subject[40];
    struct crowd c;
    uint64_t id;

    (void)state;
    crowd_start(&c, 2);
    snprintf(subject, sizeof(subject), "user:+%u", (unsigned)first_uid);
    give_back(&c, 4 * MIB);
    assert_int_equal(raw_set_quota(&c.admin, subject, "bytes", "1M"), RAW_CODE(OK));
    assert_int_equal(raw_set_quota(&c.admin, subject, "warn_at", "unlimited"), RAW_CODE(OK)); // no event meanwhile
    raw_send_grow(&c.user[0], &c.region[0][0], MIB, 0);
    next_served(&c, &id);
    raw_send_grow(&c.user[0], &c.region[0][1], MIB / 2, FOR_EVER);
    AWAIT_USAGE(&c.admin, subject, waiters, 1);
    c.id[1][0] = raw_send_grow(&c.user[1], &c.region[1][0], MIB, FOR_EVER);
    assert_int_equal(next_served(&c, &id), 1);
    assert_int_equal(id, c.id[1][0]);
    assert_false(raw_has_reply(&c.user[0]));
    assert_int_equal(USAGE_OF(&c.admin, subject, bytes), MIB);
    assert_int_equal(USAGE_OF(&c.admin, subject, waiters), 1);
    crowd_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hundred_waiters_of_five_users_are_served_in_order_and_in_turns),
        TEST(what_comes_back_at_once_serves_all_whom_it_suffices_for_each_users_first_ones),
        TEST(a_smaller_request_does_not_pass_the_same_users_first),
        TEST(one_who_leaves_the_queue_lets_the_next_of_that_user_forward),
        TEST(a_user_who_waits_for_an_own_limit_holds_up_nobody_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
