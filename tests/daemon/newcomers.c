// Users and groups come to the user database, or leave groups, while the daemon runs.
#include <time.h>

#include "tests/lib/place.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/user_database.h"

enum { ALICE = 70001, BOB = 70002 };

#define HEAD "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n[quota unlisted]\nbytes = 2M\n"
#define TEAM "[quota members:team]\nbytes = 8M\n[quota group:team]\nbytes = 6M\n"

static void begin(void)
{
    user_database_mode(&database, "");
    user_database_users(&database, "alice:70001:70001\nbob:70002:70002\n");
    user_database_groups(&database, "team:70500:alice\n");
    user_database_subuid(&database, "");
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_user_and_a_group_that_come_later_get_their_limits_without_a_reload(void **state)
{
    struct place p;
    struct raw c;

    (void)state;
    begin();
    user_database_users(&database, "bob:70002:70002\n");
    user_database_groups(&database, "");
    place_start(&p, HEAD "[quota user:alice]\nbytes = 4M\n[quota group:team]\nbytes = 3M\n");
    assert_true(test_daemon_logged(&p.d, "[quota user:alice] names an unknown user"));
    assert_int_equal(raw_open_as(&c, p.d.socket, ALICE), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c, "", bytes_limit), 2 * MIB); // unlisted
    user_database_users(&database, "alice:70001:70001\nbob:70002:70002\n");
    await_log(&p.d, "the user alice is known now, as +70001", 1);
    AWAIT_USAGE(&c, "", bytes_limit, 4 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "user:alice", connections), 1);
    user_database_groups(&database, "team:70500:alice\n");
    await_log(&p.d, "the group team is known now, as +70500", 1);
    AWAIT_USAGE(&p.root, "group:team", connections, 1);
    assert_int_equal(USAGE_OF(&c, "group:team", bytes_limit), 3 * MIB);
    raw_close(&c);
    place_stop(&p);
}

static void groups_that_change_under_a_connected_program_are_noticed(void **state)
{
    struct place p;
    struct raw_handle h = raw_handle_new();
    struct raw c;

    (void)state;
    begin();
    place_start(&p, HEAD TEAM);
    assert_int_equal(raw_open_as(&c, p.d.socket, BOB), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&p.root, "group:team", bytes), 0);
    user_database_groups(&database, "team:70500:alice,bob\n");
    AWAIT_USAGE(&p.root, "group:team", bytes, MIB);
    assert_int_equal(USAGE_OF(&c, "", bytes_limit), 8 * MIB);
    assert_int_equal(raw_grow(&c, &h, 7 * MIB), RAW_CODE(LIMIT));
    assert_int_equal(raw_grow(&c, &h, 6 * MIB), RAW_CODE(OK));
    user_database_groups(&database, "team:70500:alice\n");
    AWAIT_USAGE(&p.root, "group:team", bytes, 0);
    assert_int_equal(raw_grow(&c, &h, 7 * MIB), RAW_CODE(LIMIT));
    raw_close(&c);
    place_stop(&p);
}

// An answer that is a second old is asked for anew.
static bool a_hello_brings_the_new_limit(void *data)
{
    struct place *p = data;
    uint64_t limit;
    struct raw c;

    assert_int_equal(raw_open_as(&c, p->d.socket, BOB), RAW_CODE(OK));
    limit = USAGE_OF(&c, "", bytes_limit);
    raw_close(&c);
    return limit == 8 * MIB;
}

// Without a Hello the groups would be asked for 15 s later.
static void each_hello_asks_for_the_groups(void **state)
{
    struct place p;
    struct raw c;

    (void)state;
    begin();
    place_start(&p, HEAD TEAM);
    assert_int_equal(raw_open_as(&c, p.d.socket, BOB), RAW_CODE(OK));
    user_database_groups(&database, "team:70500:alice,bob\n");
    test_wait_until(a_hello_brings_the_new_limit, &p, 10, "the limit of a member");
    assert_int_equal(USAGE_OF(&c, "", bytes_limit), 8 * MIB);
    raw_close(&c);
    place_stop(&p);
}

// A script starts one program after the other.
static void connections_that_follow_each_other_ask_once(void **state)
{
    enum { CONNECTIONS = 20 };
    struct place p;
    struct raw c;
    size_t asked;
    double start;

    (void)state;
    begin();
    place_start(&p, HEAD TEAM);
    do { // on a machine that is so busy that more than the answer's second passes, once more
        start = seconds();
        asked = user_database_asked(&database);
        for (int i = 0; i < CONNECTIONS; i++) {
            assert_int_equal(raw_open_as(&c, p.d.socket, BOB), RAW_CODE(OK));
            raw_close(&c);
        }
        asked = user_database_asked(&database) - asked;
    } while (seconds() - start > 0.5);
    assert_in_range(asked, 0, CONNECTIONS - 1);
    place_stop(&p);
}

static void slow_look_ups_do_not_hold_the_start_back(void **state)
{
    double start;
    struct place p;
    struct raw c;

    (void)state;
    begin();
    place_start(&p, HEAD);
    raw_close(&p.root);
    test_daemon_stop(&p.d);
    rewrite_config(&p.d, HEAD TEAM
                   "[quota user:alice]\nregions = 5\n[quota user:bob]\nbytes = 5M\n[quota user:carol]\nbytes = 5M\n"
                   "[quota group:a]\n[quota group:b]\n[quota group:c]\n[quota group:d]\n");
    user_database_mode(&database, "slow 1500");
    start = seconds();
    test_daemon_restart(&p.d);
    assert_true(seconds() - start <
                9); // a second for all look-ups, however many there are: one after the other they take longer
    assert_int_equal(raw_open(&p.root, p.d.socket), RAW_CODE(OK));
    start = seconds();
    assert_int_equal(raw_open_as(&c, p.d.socket, ALICE), RAW_CODE(OK));
    assert_true(seconds() - start < 30);
    AWAIT_USAGE(&c, "", bytes_limit, 8 * MIB);
    AWAIT_USAGE(&c, "", regions_limit, 5);
    user_database_mode(&database, "");
    raw_close(&c);
    place_stop(&p);
}

// The regions of users whom the database does not tell yet are charged to them, and to their groups later.
static void regions_found_at_start_count_in_their_groups_when_the_database_is_up(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct place p;
    struct raw c;

    (void)state;
    begin();
    place_start(&p, HEAD TEAM);
    assert_int_equal(raw_open_as(&c, p.d.socket, ALICE), RAW_CODE(OK));
    assert_int_equal(raw_create_named(&c, "diary", &h, 3 * MIB), RAW_CODE(OK));
    raw_close(&c);
    raw_close(&p.root);
    test_daemon_kill(&p.d, SIGKILL);
    test_daemon_restart(&p.d);
    assert_int_equal(raw_open(&p.root, p.d.socket), RAW_CODE(OK));
    AWAIT_USAGE(&p.root, "group:team", bytes, 3 * MIB);
    raw_close(&p.root);
    test_daemon_kill(&p.d, SIGKILL);
    user_database_mode(&database, "away");
    test_daemon_restart(&p.d);
    assert_int_equal(raw_open(&p.root, p.d.socket), RAW_CODE(OK));
    AWAIT_USAGE(&p.root, "unlisted", bytes, 3 * MIB);
    user_database_mode(&database, "");
    AWAIT_USAGE(&p.root, "unlisted", bytes, 0);
    AWAIT_USAGE(&p.root, "group:team", bytes, 3 * MIB);
    assert_int_equal(raw_remove(&p.root, &h, true), RAW_CODE(OK));
    place_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_user_and_a_group_that_come_later_get_their_limits_without_a_reload),
        TEST(groups_that_change_under_a_connected_program_are_noticed),
        TEST(each_hello_asks_for_the_groups),
        TEST(connections_that_follow_each_other_ask_once),
        TEST(slow_look_ups_do_not_hold_the_start_back),
        TEST(regions_found_at_start_count_in_their_groups_when_the_database_is_up),
    };

    return cmocka_run_group_tests(tests, make_database, remove_database);
}
