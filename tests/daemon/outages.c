// The user database is away for a while, and comes back.
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

struct asked {
    size_t times;
};

static bool was_asked(void *data)
{
    return user_database_asked(&database) >= ((struct asked *)data)->times;
}

// Reads the configuration again, with a database that does as MODE says, and waits until it was asked for all names:
// bob and the team.
static void reload_with(struct place *p, const char *mode, const char *config)
{
    struct asked all;

    user_database_mode(&database, mode);
    all.times = user_database_asked(&database) + 2;
    reload(&p->d, config);
    await_log(&p->d, "the configuration was read again", 1);
    test_wait_until(was_asked, &all, 60, "questions for all names");
}

static void is_away_and_back(struct place *p, const char *mode)
{
    struct raw c, again, root;

    begin();
    place_start(p, HEAD TEAM "[quota user:bob]\nbytes = 5M\n");
    assert_int_equal(raw_open_as(&c, p->d.socket, ALICE), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c, "", bytes_limit), 8 * MIB);
    // A reload reads every name anew.
    reload_with(p, mode, HEAD TEAM "[quota user:bob]\nbytes = 5M\nregions = 7\n");
    for (size_t i = 2; i <= 3; i++) {
        reload(&p->d, HEAD TEAM "[quota user:bob]\nbytes = 5M\nregions = 7\n");
        await_log(&p->d, "the configuration was read again", i);
    }
    await_log(&p->d, "the user database does not answer", 1);
    assert_int_equal(raw_open(&root, p->d.socket), RAW_CODE(OK)); // root is in a file, and is found all the same
    assert_int_equal(raw_open_as(&again, p->d.socket, ALICE), RAW_CODE(OK)); // the daemon has asked for her groups
    assert_int_equal(USAGE_OF(&p->root, "user:bob", bytes_limit), 5 * MIB);
    assert_int_equal(USAGE_OF(&p->root, "user:bob", regions_limit), 7);
    assert_int_equal(USAGE_OF(&p->root, "group:team", bytes_limit), 6 * MIB);
    assert_int_equal(USAGE_OF(&c, "", bytes_limit), 8 * MIB);
    assert_int_equal(USAGE_OF(&c, "group:team", connections), 2);
    raw_close(&again);
    raw_close(&c);
    assert_int_equal(raw_open_as(&c, p->d.socket, ALICE), RAW_CODE(OK));
    user_database_mode(&database, "");
    await_log(&p->d, "the user database answers again", 1);
    assert_int_equal(log_count(&p->d, "the user database does not answer"), 1);
    assert_int_equal(log_count(&p->d, "the user database answers again"), 1);
    raw_close(&root);
    raw_close(&c);
    place_stop(p);
}

static void a_reload_while_the_database_is_down_drops_no_limit(void **state)
{
    struct place p;

    (void)state;
    is_away_and_back(&p, "away");
}

static void a_database_that_asks_to_be_tried_again_is_away(void **state)
{
    struct place p;

    (void)state;
    is_away_and_back(&p, "again");
}

// A database that is down may say that it knows nobody.
static void a_user_who_is_missing_for_a_moment_keeps_everything(void **state)
{
    struct place p;
    struct raw c, again;

    (void)state;
    begin();
    place_start(&p, HEAD TEAM "[quota user:bob]\nbytes = 5M\n");
    assert_int_equal(raw_open_as(&c, p.d.socket, ALICE), RAW_CODE(OK));
    reload_with(&p, "empty", HEAD TEAM "[quota user:bob]\nbytes = 5M\n");
    assert_int_equal(raw_open_as(&again, p.d.socket, ALICE), RAW_CODE(OK)); // the daemon has asked for her groups
    assert_int_equal(USAGE_OF(&c, "", bytes_limit), 8 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "user:bob", bytes_limit), 5 * MIB);
    // Half a minute later that is believed.
    AWAIT_USAGE(&c, "", bytes_limit, 2 * MIB);
    user_database_mode(&database, "");
    AWAIT_USAGE(&c, "", bytes_limit, 8 * MIB);
    raw_close(&again);
    raw_close(&c);
    place_stop(&p);
}

static void a_uid_that_was_never_looked_up_is_unlisted_while_the_database_is_away(void **state)
{
    struct raw alice, bob;
    struct place p;

    (void)state;
    begin();
    place_start(&p, HEAD TEAM "[quota user:+70002]\nbytes = 5M\n");
    user_database_mode(&database, "away");
    assert_int_equal(raw_open_as(&alice, p.d.socket, ALICE), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&bob, p.d.socket, BOB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&alice, "", bytes_limit), 2 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", connections), 1);
    assert_int_equal(USAGE_OF(&bob, "", bytes_limit), 5 * MIB);
    await_log(&p.d, "uid 70001 could not be looked up", 1);
    user_database_mode(&database, "");
    AWAIT_USAGE(&alice, "", bytes_limit, 8 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", connections), 0);
    assert_int_equal(log_count(&p.d, "uid 70001 could not be looked up"), 1);
    raw_close(&alice);
    raw_close(&bob);
    place_stop(&p);
}

static unsigned threads_of(const struct test_daemon *d)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d/task", (int)d->pid);
    assert_int_equal(stat(path, &st), 0);
    return (unsigned)st.st_nlink - 2;
}

struct thread_expectation {
    const struct test_daemon *daemon;
    unsigned most;
};

static bool has_few_threads(void *data)
{
    const struct thread_expectation *e = data;

    return threads_of(e->daemon) <= e->most;
}

// Each reload and each command asks for names, and the threads that ask for them stay until the database answers.
static void a_database_that_hangs_takes_a_bounded_number_of_threads(void **state)
{
    struct thread_expectation before;
    char config[400], subject[40];
    struct place p;
    struct raw c;

    (void)state;
    begin();
    place_start(&p, HEAD);
    before = (struct thread_expectation){.daemon = &p.d, .most = threads_of(&p.d)};
    user_database_mode(&database, "hang");
    for (size_t i = 1; i <= 8; i++) {
        snprintf(config, sizeof config, HEAD "[quota user:absent%zu]\nbytes = 5M\n", i);
        reload(&p.d, config);
        await_log(&p.d, "the configuration was read again", i);
        snprintf(subject, sizeof subject, "user:stranger%zu", i);
        raw_set_quota(&p.root, subject, "bytes", "1M");
    }
    assert_true(threads_of(&p.d) > before.most);
    assert_true(threads_of(&p.d) <= before.most + 4);
    reload(&p.d, HEAD "[quota user:alice]\nbytes = 4M\n");
    await_log(&p.d, "the configuration was read again", 9);
    user_database_mode(&database, "");
    test_wait_until(has_few_threads, &before, 30, "the threads to end");
    assert_int_equal(raw_open_as(&c, p.d.socket, ALICE), RAW_CODE(OK));
    AWAIT_USAGE(&c, "", bytes_limit, 4 * MIB);
    assert_int_equal(raw_set_quota(&p.root, "user:alice", "regions", "3"), RAW_CODE(OK));
    raw_close(&c);
    place_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reload_while_the_database_is_down_drops_no_limit),
        TEST(a_database_that_asks_to_be_tried_again_is_away),
        TEST(a_user_who_is_missing_for_a_moment_keeps_everything),
        TEST(a_uid_that_was_never_looked_up_is_unlisted_while_the_database_is_away),
        TEST(a_database_that_hangs_takes_a_bounded_number_of_threads),
    };

    return cmocka_run_group_tests(tests, make_database, remove_database);
}
