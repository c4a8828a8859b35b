// Uids that the user database does not know share one account; those that /etc/subuid lends to a user count for that
// user.
#include "tests/lib/place.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"
#include "tests/lib/user_database.h"

enum { ALICE = 70001, STRANGER = 71001, OTHER = 71002, LENT = 72005, LENT_TOO = 72006, NOBODY = 65534 };

struct guest {
    struct raw c;
    struct raw_handle h;
};

static void guest_come(struct guest *g, const struct place *p, uid_t uid, uint64_t size)
{
    assert_int_equal(raw_open_as(&g->c, p->d.socket, uid), RAW_CODE(OK));
    g->h = raw_handle_new();
    assert_int_equal(raw_create(&g->c, &g->h, size), RAW_CODE(OK));
}

static void is_refused(struct guest *g, uint64_t size, const char *limit_name, uint64_t limit, uint64_t used)
{
    RawReply *reply;

    raw_send_grow(&g->c, &g->h, size, 0);
    reply = raw_answer(&g->c);
    assert_int_equal(raw_code(reply), RAW_CODE(LIMIT));
    assert_string_equal(reply->error->limit_name, limit_name);
    assert_int_equal(reply->error->limit, limit);
    assert_int_equal(reply->error->used, used);
    raw_free(reply);
}

static void all_uids_without_a_user_share_one_account(void **state)
{
    struct guest stranger, other;
    struct place p;
    RawReply *reply;

    (void)state;
    place_start(&p,
                "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 16M\nregions = 5\n[quota unlisted]\nbytes = 8M\n");
    guest_come(&stranger, &p, STRANGER, 5 * MIB);
    guest_come(&other, &p, OTHER, 2 * MIB);
    is_refused(&other, 4 * MIB, "unlisted bytes", 8 * MIB, 7 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", bytes), 7 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", regions), 2);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", regions_limit), 5); // of default
    assert_int_equal(USAGE_OF(&p.root, "unlisted", connections), 2);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", grantable_bytes), MIB);
    // Each of them sees what it uses, and the limits of the account that stands for it.
    reply = raw_usage(&other.c, "");
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->usage->subject.len, strlen("user:+71002"));
    assert_memory_equal(reply->usage->subject.data, "user:+71002", strlen("user:+71002"));
    assert_int_equal(reply->usage->bytes, 2 * MIB);
    assert_int_equal(reply->usage->bytes_limit, 8 * MIB);
    assert_int_equal(reply->usage->grantable_bytes, MIB);
    raw_free(reply);
    assert_int_equal(USAGE_OF(&other.c, "unlisted", bytes), 7 * MIB);
    raw_close(&stranger.c);
    AWAIT_USAGE(&p.root, "unlisted", bytes, 2 * MIB);
    assert_int_equal(raw_grow(&other.c, &other.h, 8 * MIB), RAW_CODE(OK));
    raw_close(&other.c);
    place_stop(&p);
}

static void the_limits_of_the_unlisted_can_be_set_at_run_time(void **state)
{
    struct guest stranger;
    struct place p;
    char text[100];

    (void)state;
    place_start(&p, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 16M\n");
    guest_come(&stranger, &p, STRANGER, MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", bytes_limit), 16 * MIB);
    assert_int_equal(raw_set_quota(&p.root, "unlisted", "bytes", "2M"), RAW_CODE(OK));
    is_refused(&stranger, 3 * MIB, "unlisted bytes", 2 * MIB, MIB);
    assert_int_equal(raw_quota_text(&stranger.c, "unlisted", "bytes", text, sizeof text), RAW_CODE(OK));
    assert_string_equal(text, "2M set at run time");
    assert_int_equal(raw_unset_quota(&p.root, "unlisted", NULL), RAW_CODE(OK));
    assert_int_equal(raw_grow(&stranger.c, &stranger.h, 3 * MIB), RAW_CODE(OK));
    raw_close(&stranger.c);
    place_stop(&p);
}

static void users_who_are_listed_do_not_see_the_account_of_the_unlisted(void **state)
{
    struct guest alice;
    struct place p;
    char text[100];
    RawReply *reply;

    (void)state;
    user_database_users(&database, "alice:70001:70001\n");
    place_start(&p, "[daemon]\nkeep_free = 0\n[quota unlisted]\nbytes = 8M\n");
    guest_come(&alice, &p, ALICE, MIB);
    reply = raw_usage(&alice.c, "unlisted");
    assert_int_equal(raw_code(reply), RAW_CODE(ACCESS));
    raw_free(reply);
    assert_int_equal(raw_quota_text(&alice.c, "unlisted", "bytes", text, sizeof text), RAW_CODE(OK));
    assert_string_equal(text, "");
    raw_close(&alice.c);
    place_stop(&p);
}

static void a_uid_that_the_configuration_names_has_an_own_account(void **state)
{
    struct guest stranger, other;
    struct place p;

    (void)state;
    place_start(&p, "[daemon]\nkeep_free = 0\n[quota unlisted]\nbytes = 2M\n[quota user:+71001]\nbytes = 4M\n");
    guest_come(&stranger, &p, STRANGER, 4 * MIB);
    guest_come(&other, &p, OTHER, 2 * MIB);
    is_refused(&stranger, 5 * MIB, "user:+71001 bytes", 4 * MIB, 4 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", bytes), 2 * MIB);
    // The use of the uid joins that of the others when its section goes, and leaves them when the section comes back.
    reload(&p.d, "[daemon]\nkeep_free = 0\n[quota unlisted]\nbytes = 2M\n");
    AWAIT_USAGE(&p.root, "unlisted", bytes, 6 * MIB);
    assert_int_equal(raw_set_quota(&p.root, "user:+71001", "bytes", "5M"), RAW_CODE(OK));
    AWAIT_USAGE(&p.root, "unlisted", bytes, 2 * MIB);
    raw_close(&stranger.c);
    raw_close(&other.c);
    place_stop(&p);
}

static void a_lent_uid_counts_for_its_lender_and_the_lenders_groups(void **state)
{
    struct guest alice, lent, lent_too;
    struct place p;

    (void)state;
    user_database_users(&database, "alice:70001:70001\n");
    user_database_groups(&database, "analysts:70500:alice\n");
    user_database_subuid(&database, "bob:1:1\nnonsense\nalice:72000:10\n");
    place_start(
        &p,
        "[daemon]\nkeep_free = 0\n[quota user:alice]\nbytes = 6M\nregions = 3\n[quota group:analysts]\nbytes = 5M\n");
    guest_come(&lent, &p, LENT, 2 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "user:alice", bytes), 2 * MIB);
    guest_come(&alice, &p, ALICE, MIB);
    guest_come(&lent_too, &p, LENT_TOO, MIB);
    assert_int_equal(USAGE_OF(&p.root, "user:alice", bytes), 4 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "user:alice", connections), 3);
    assert_int_equal(USAGE_OF(&p.root, "group:analysts", bytes), 4 * MIB);
    assert_int_equal(USAGE_OF(&lent.c, "", bytes_limit), 6 * MIB);
    is_refused(&lent, 4 * MIB, "group:analysts bytes", 5 * MIB, 4 * MIB);
    assert_int_equal(raw_set_quota(&p.root, "group:analysts", "bytes", "unlimited"), RAW_CODE(OK));
    is_refused(&alice, 4 * MIB, "user:alice bytes", 6 * MIB, 4 * MIB);
    assert_int_equal(raw_grow(&lent_too.c, &lent_too.h, 3 * MIB), RAW_CODE(OK));
    is_refused(&lent, 3 * MIB, "user:alice bytes", 6 * MIB, 6 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "unlisted", bytes), 0);
    raw_close(&alice.c);
    AWAIT_USAGE(&p.root, "user:alice", bytes, 5 * MIB);
    raw_close(&lent.c);
    raw_close(&lent_too.c);
    place_stop(&p);
    user_database_subuid(&database, "");
    user_database_groups(&database, "");
}

// COUNT: how often the log names LINE with REASON.
static void expect_line(const struct place *p, unsigned line, const char *reason, size_t count)
{
    char text[200];

    snprintf(text, sizeof text, "/etc/subuid, line %u: %s", line, reason);
    if (log_count(&p->d, text) != count)
        fail_msg("not %zu times: %s", count, text);
}

static void lines_that_lend_nothing_are_told_once_and_the_others_hold(void **state)
{
    struct guest stranger, lent, other;
    struct place p;

    (void)state;
    user_database_users(&database, "alice:70001:70001\n");
    user_database_subuid(&database, "# lent to containers\n\nnonsense\nalice:72000\n:72000:10\nalice:many:10\n"
                                    "alice:72000:1x\nalice:72000:-1\nalice:99999999999:1\nbob:1:1\nalice:72000:10");
    place_start(&p, "[daemon]\nkeep_free = 0\n[quota user:alice]\nbytes = 6M\n");
    guest_come(&lent, &p, LENT, 2 * MIB);
    guest_come(&stranger, &p, STRANGER, 0);
    assert_int_equal(USAGE_OF(&p.root, "user:alice", bytes), 2 * MIB);
    expect_line(&p, 3, "it is not of the form", 1);
    expect_line(&p, 4, "it is not of the form", 1);
    expect_line(&p, 5, "it names no owner", 1);
    expect_line(&p, 6, "the first uid", 1);
    expect_line(&p, 7, "the number of uids", 1);
    expect_line(&p, 8, "the number of uids", 1);
    expect_line(&p, 9, "the first uid", 1);
    assert_int_equal(log_count(&p.d, "/etc/subuid, line"), 7);
    // Another version of the file is told of, and a long list is cut.
    user_database_subuid(&database, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nalice:72000:10\n");
    guest_come(&other, &p, OTHER, 0);
    assert_int_equal(log_count(&p.d, "/etc/subuid, line"), 17);
    expect_line(&p, 1, "it is not of the form", 1);
    assert_int_equal(log_count(&p.d, "/etc/subuid: 2 more lines are malformed"), 1);
    raw_close(&stranger.c);
    raw_close(&lent.c);
    raw_close(&other.c);
    place_stop(&p);
    user_database_subuid(&database, "");
}

static void nobody_is_one_of_the_unlisted_and_the_log_says_so_once(void **state)
{
    struct guest nobody, again;
    struct place p;

    (void)state;
    place_start(&p, "[daemon]\nkeep_free = 0\n[quota unlisted]\nbytes = 2M\n");
    guest_come(&nobody, &p, NOBODY, 2 * MIB);
    guest_come(&again, &p, NOBODY, 0);
    is_refused(&again, 1, "unlisted bytes", 2 * MIB, 2 * MIB);
    assert_int_equal(log_count(&p.d, "uid 65534 is in use"), 1);
    raw_close(&nobody.c);
    raw_close(&again.c);
    place_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_uids_without_a_user_share_one_account),
        TEST(the_limits_of_the_unlisted_can_be_set_at_run_time),
        TEST(users_who_are_listed_do_not_see_the_account_of_the_unlisted),
        TEST(a_uid_that_the_configuration_names_has_an_own_account),
        TEST(a_lent_uid_counts_for_its_lender_and_the_lenders_groups),
        TEST(lines_that_lend_nothing_are_told_once_and_the_others_hold),
        TEST(nobody_is_one_of_the_unlisted_and_the_log_says_so_once),
    };

    return cmocka_run_group_tests(tests, make_database, remove_database);
}
