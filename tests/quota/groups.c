// The members of a group share its sum and keep their own limits; each key comes from the nearest section that has it.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

static struct people people;

struct member {
    struct raw c;
    struct raw_handle h;
    uint64_t size;
};

static void member_start(struct member *m, const struct test_daemon *d, int user)
{
    assert_int_equal(raw_open_as(&m->c, d->socket, people.uid[user]), RAW_CODE(OK));
    m->h = raw_handle_new();
    m->size = 0;
    assert_int_equal(raw_create(&m->c, &m->h, 0), RAW_CODE(OK));
}

static void takes(struct member *m, uint64_t size)
{
    RawReply *reply;

    raw_send_grow(&m->c, &m->h, size, 0);
    reply = raw_answer(&m->c);
    if (raw_code(reply) == RAW_CODE(LIMIT))
        print_error("refused by %s\n", reply->error->limit_name);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->region->granted, size);
    raw_free(reply);
    m->size = size;
}

static void is_refused(struct member *m, uint64_t size, const char *kind, const char *name, uint64_t limit,
                       uint64_t used)
{
    char limit_name[64];
    RawReply *reply;

    snprintf(limit_name, sizeof(limit_name), "%s:%s bytes", kind, name);
    raw_send_grow(&m->c, &m->h, size, 0);
    reply = raw_answer(&m->c);
    assert_int_equal(raw_code(reply), RAW_CODE(LIMIT));
    assert_string_equal(reply->error->limit_name, limit_name);
    assert_int_equal(reply->error->limit, limit);
    assert_int_equal(reply->error->used, used);
    assert_int_equal(reply->error->asked, (size + 4095) / 4096 * 4096 - m->size);
    raw_free(reply);
}

static void shrinks(struct member *m, uint64_t size)
{
    assert_int_equal(raw_shrink(&m->c, &m->h, size, m->size), RAW_CODE(OK));
    m->size = size;
}

static void group_subject(int group, char *ret, size_t size)
{
    snprintf(ret, size, "group:%s", people.group[group]);
}

struct council {
    struct test_daemon d;
    struct raw admin;
    struct member m[PEOPLE];
    char config[300], group[40];
};

static void council_start(struct council *c, const char *config)
{
    memset(c, 0, sizeof(*c));
    test_daemon_start(&c->d, config, NULL);
    assert_int_equal(raw_open(&c->admin, c->d.socket), RAW_CODE(OK));
    for (int i = 0; i < PEOPLE; i++)
        member_start(&c->m[i], &c->d, i);
    group_subject(0, c->group, sizeof(c->group));
}

static void council_stop(struct council *c)
{
    for (int i = 0; i < PEOPLE; i++)
        raw_close(&c->m[i].c);
    AWAIT_USAGE(&c->admin, "total", regions, 0);
    assert_int_equal(USAGE_OF(&c->admin, "total", bytes), 0);
    assert_int_equal(USAGE_OF(&c->admin, c->group, bytes), 0);
    assert_int_equal(USAGE_OF(&c->admin, c->group, regions), 0);
    raw_close(&c->admin);
    test_daemon_stop_and_remove(&c->d);
}

static void config_with_group(char *ret, size_t size, const char *bytes)
{
    snprintf(ret, size, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 6M\n[quota group:%s]\nbytes = %s\n",
             people.group[0], bytes);
}

static void two_members_share_the_sum_and_each_keeps_an_own_limit(void **state)
{
    char config[300];
    struct council c;

    (void)state;
    people_join(&people, 0, 0);
    people_join(&people, 1, 0);
    config_with_group(config, sizeof(config), "8M");
    council_start(&c, config);
    is_refused(&c.m[0], 6 * MIB + 1, "user", people.user[0], 6 * MIB, 0);
    takes(&c.m[0], 6 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 6 * MIB);
    is_refused(&c.m[1], 2 * MIB + 1, "group", people.group[0], 8 * MIB, 6 * MIB);
    takes(&c.m[1], 2 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 8 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, grantable_bytes), 0);
    takes(&c.m[2], 6 * MIB); // no member
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 8 * MIB);
    shrinks(&c.m[0], MIB);
    is_refused(&c.m[1], 6 * MIB + 1, "user", people.user[1], 6 * MIB, 2 * MIB);
    takes(&c.m[1], 6 * MIB);
    is_refused(&c.m[0], 2 * MIB + 1, "group", people.group[0], 8 * MIB, 7 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, regions), 2);
    council_stop(&c);
    people_leave(&people, 0, 0);
    people_leave(&people, 1, 0);
}

static void each_member_is_told_that_the_group_reaches_its_marks(void **state)
{
    char config[300];
    struct council c;

    (void)state;
    people_join(&people, 0, 0);
    people_join(&people, 1, 0);
    snprintf(config, sizeof config,
             "[daemon]\nkeep_free = 0\n[quota group:%s]\nbytes = 8M\nwarn_at = 4M\nsoft_bytes = 6M\n", people.group[0]);
    council_start(&c, config);
    takes(&c.m[0], 4 * MIB - 4096);
    for (unsigned marks = 0; marks < 3; marks++) {
        for (int i = 0; i < PEOPLE; i++) {
            raw_free(raw_usage(&c.m[i].c, ""));                     // whatever was sent to it has been read then
            assert_int_equal(c.m[i].c.n_events, i < 2 ? marks : 0); // the last one is no member
        }
        if (marks < 2)
            takes(&c.m[1], marks ? 2 * MIB + 8192 : 4096);
    }
    council_stop(&c);
    people_leave(&people, 0, 0);
    people_leave(&people, 1, 0);
}

static void what_a_member_holds_joins_and_leaves_the_sum_with_a_reload(void **state)
{
    char config[300];
    struct council c;

    (void)state;
    people_join(&people, 0, 0);
    config_with_group(config, sizeof(config), "8M");
    council_start(&c, config);
    takes(&c.m[0], 3 * MIB);
    takes(&c.m[1], 6 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 3 * MIB);
    people_join(&people, 1, 0);
    reload(&c.d, config);
    AWAIT_USAGE(&c.admin, c.group, bytes, 9 * MIB); // over its limit, and nobody loses anything
    is_refused(&c.m[0], 3 * MIB + 1, "group", people.group[0], 8 * MIB, 9 * MIB);
    shrinks(&c.m[1], 4 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 7 * MIB);
    people_leave(&people, 0, 0);
    reload(&c.d, config);
    AWAIT_USAGE(&c.admin, c.group, bytes, 4 * MIB);
    takes(&c.m[0], 6 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 4 * MIB);
    // The next daemon knows the charges too.
    test_daemon_kill(&c.d, SIGKILL);
    raw_close(&c.admin);
    test_daemon_restart(&c.d);
    assert_int_equal(raw_open(&c.admin, c.d.socket), RAW_CODE(OK));
    people_leave(&people, 1, 0);
    for (int i = 0; i < PEOPLE; i++)
        raw_close(&c.m[i].c);
    AWAIT_USAGE(&c.admin, "total", regions, 0);
    for (int i = 0; i < PEOPLE; i++)
        member_start(&c.m[i], &c.d, i);
    council_stop(&c);
}

static void a_groups_account_is_kept_across_a_restart(void **state)
{
    char config[300];
    struct council c;
    RawReply *reply;

    (void)state;
    people_join(&people, 0, 0);
    config_with_group(config, sizeof(config), "8M");
    council_start(&c, config);
    takes(&c.m[0], 3 * MIB);
    test_daemon_kill(&c.d, SIGKILL);
    test_daemon_restart(&c.d);
    raw_close(&c.admin);
    assert_int_equal(raw_open(&c.admin, c.d.socket), RAW_CODE(OK));
    // The connections have gone, and nothing maps: it goes; unless the restart is not over yet it may be seen.
    AWAIT_USAGE(&c.admin, "total", regions, 0);
    reply = raw_usage(&c.admin, c.group);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->usage->bytes, 0);
    assert_int_equal(reply->usage->bytes_limit, 8 * MIB);
    raw_free(reply);
    people_leave(&people, 0, 0);
    council_stop(&c);
}

static void the_primary_group_counts_as_any_other(void **state)
{
    char config[300], subject[40];
    struct council c;

    (void)state;
    snprintf(config, sizeof(config),
             "[daemon]\nkeep_free = 0\n[quota group:%s]\nbytes = 2M\n[quota group:%s]\nbytes = 3M\n", people.user[2],
             people.group[0]);
    people_join(&people, 2, 0);
    people_join(&people, 1, 0);
    council_start(&c, config);
    snprintf(subject, sizeof(subject), "group:%s", people.user[2]);
    takes(&c.m[2], 2 * MIB);
    is_refused(&c.m[2], 2 * MIB + 1, "group", people.user[2], 2 * MIB, 2 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, subject, bytes), 2 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, c.group, bytes), 2 * MIB); // one charge, in both
    is_refused(&c.m[1], 2 * MIB, "group", people.group[0], 3 * MIB, 2 * MIB);
    council_stop(&c);
    people_leave(&people, 2, 0);
    people_leave(&people, 1, 0);
}

static void each_key_comes_from_user_then_members_then_default(void **state)
{
    char config[600], subject[PEOPLE][40];
    struct council c;

    (void)state;
    people_join(&people, 0, 1);
    people_join(&people, 1, 1);
    snprintf(config, sizeof(config),
             "[daemon]\nkeep_free = 0\n[quota user:%s]\nregions = 5\n[quota members:%s]\nbytes = 2M\nregions = 7\n"
             "[quota default]\nbytes = 4M\nregions = 9\nconnections = 11\n[quota group:%s]\nbytes = 100M\n",
             people.user[0], people.group[1], people.group[0]);
    council_start(&c, config);
    for (int i = 0; i < PEOPLE; i++)
        snprintf(subject[i], sizeof(subject[i]), "user:%s", people.user[i]);
    assert_int_equal(USAGE_OF(&c.admin, subject[0], regions_limit), 5);
    assert_int_equal(USAGE_OF(&c.admin, subject[0], bytes_limit), 2 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, subject[0], connections_limit), 11);
    assert_int_equal(USAGE_OF(&c.admin, subject[1], regions_limit), 7);
    assert_int_equal(USAGE_OF(&c.admin, subject[1], bytes_limit), 2 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, subject[1], connections_limit), 11);
    assert_int_equal(USAGE_OF(&c.admin, subject[2], regions_limit), 9);
    assert_int_equal(USAGE_OF(&c.admin, subject[2], bytes_limit), 4 * MIB);
    // members: is each member's own limit and no sum.
    takes(&c.m[0], 2 * MIB);
    takes(&c.m[1], 2 * MIB);
    is_refused(&c.m[1], 2 * MIB + 1, "user", people.user[1], 2 * MIB, 2 * MIB);
    // Set at run time wins over the files, key by key, whatever the section's rank there.
    assert_int_equal(raw_set_quota(&c.admin, "default", "connections", "12"), RAW_CODE(OK));
    assert_int_equal(raw_set_quota(&c.admin, subject[0], "bytes", "3M"), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c.admin, subject[0], bytes_limit), 3 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, subject[0], regions_limit), 5);
    assert_int_equal(USAGE_OF(&c.admin, subject[0], connections_limit), 12);
    assert_int_equal(USAGE_OF(&c.admin, subject[1], bytes_limit), 2 * MIB);
    // Membership decides about members: too.
    people_leave(&people, 1, 1);
    reload(&c.d, config);
    AWAIT_USAGE(&c.admin, subject[1], bytes_limit, 4 * MIB);
    assert_int_equal(USAGE_OF(&c.admin, subject[1], regions_limit), 9);
    people_leave(&people, 0, 1);
    council_stop(&c);
}

static int make_people(void **state)
{
    (void)state;
    people_make(&people);
    return 0;
}

static int remove_people(void **state)
{
    (void)state;
    people_free(&people);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_members_share_the_sum_and_each_keeps_an_own_limit),
        TEST(each_member_is_told_that_the_group_reaches_its_marks),
        TEST(what_a_member_holds_joins_and_leaves_the_sum_with_a_reload),
        TEST(a_groups_account_is_kept_across_a_restart),
        TEST(the_primary_group_counts_as_any_other),
        TEST(each_key_comes_from_user_then_members_then_default),
    };

    return cmocka_run_group_tests(tests, make_people, remove_people);
}
