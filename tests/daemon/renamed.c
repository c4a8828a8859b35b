// A user who is deleted and made again under another uid: every command means the same person by the name, and the
// old uid is a number.
#include "tests/lib/place.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"
#include "tests/lib/user_database.h"

enum { BOB = 70002, NEW_BOB = 70003 };

#define HEAD "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n[quota unlisted]\nbytes = 2M\n"

static void begin(void)
{
    user_database_users(&database, "alice:70001:70001\nbob:70002:70002\n");
}

static int remove_named(struct raw *c, const char *user, const char *name)
{
    Diskalloc__V1__RemoveRegion body = DISKALLOC__V1__REMOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.user = raw_text(user);
    body.name = raw_text(name);
    body.force = true; // the daemon may not have noticed yet that the owner has gone
    q.body_case = RAW_BODY(REMOVE_REGION);
    q.remove_region = &body;
    return raw_done(c, &q);
}

// The owner of the only region that --user USER lists; "": none is listed.
static void owner_of_listed(struct raw *c, const char *user, char *ret, size_t size)
{
    Diskalloc__V1__ListRegions list = DISKALLOC__V1__LIST_REGIONS__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;

    list.user = raw_text(user);
    q.body_case = RAW_BODY(LIST_REGIONS);
    q.list_regions = &list;
    reply = raw_call(c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_true(reply->region_list->n_regions <= 1);
    ret[0] = '\0';
    if (reply->region_list->n_regions)
        snprintf(ret, size, "%.*s", (int)reply->region_list->regions[0]->owner.len,
                 (const char *)reply->region_list->regions[0]->owner.data);
    raw_free(reply);
}

// All commands mean the same person by a name.
static void name_means(struct place *p, uint64_t bytes, uint64_t limit, const char *owner)
{
    char text[100];

    assert_int_equal(USAGE_OF(&p->root, "user:bob", bytes), bytes);
    assert_int_equal(USAGE_OF(&p->root, "user:bob", bytes_limit), limit);
    owner_of_listed(&p->root, "bob", text, sizeof text);
    assert_string_equal(text, owner);
}

static void a_user_who_is_made_again_under_another_uid_takes_the_name_along(struct place *p, bool mentioned)
{
    struct raw_handle h = raw_handle_new();
    struct raw old, new, c;
    uint64_t n = 0;
    char text[100];

    begin();
    place_start(p, mentioned ? HEAD "[quota user:bob]\nbytes = 5M\n" : HEAD);
    assert_int_equal(raw_open_as(&old, p->d.socket, BOB), RAW_CODE(OK));
    assert_int_equal(raw_create_named(&old, "diary", &h, MIB / 2), RAW_CODE(OK));
    name_means(p, MIB / 2, mentioned ? 5 * MIB : MIB, "bob");
    user_database_users(&database, "alice:70001:70001\nbob:70003:70003\n");
    assert_int_equal(raw_open_as(&new, p->d.socket, NEW_BOB), RAW_CODE(OK));
    h = raw_handle_new();
    assert_int_equal(raw_create_named(&new, "diary", &h, MIB / 4), RAW_CODE(OK));
    name_means(p, MIB / 4, mentioned ? 5 * MIB : MIB, "bob");
    owner_of_listed(&p->root, "+70002", text, sizeof text);
    assert_string_equal(text, "+70002");
    assert_int_equal(raw_set_quota(&p->root, "user:bob", "bytes", "6M"), RAW_CODE(OK));
    name_means(p, MIB / 4, 6 * MIB, "bob");
    assert_int_equal(USAGE_OF(&new, "", bytes_limit), 6 * MIB);
    // The old uid is nobody's, half a minute later at most.
    AWAIT_USAGE(&p->root, "unlisted", bytes, MIB / 2);
    assert_int_equal(USAGE_OF(&old, "", bytes_limit), 2 * MIB);
    assert_int_equal(raw_disconnect_user(&p->root, "bob", &n), RAW_CODE(OK));
    assert_int_equal(n, 1);
    raw_close(&new);
    assert_int_equal(remove_named(&p->root, "bob", "diary"), RAW_CODE(OK));
    assert_int_equal(remove_named(&p->root, "bob", "diary"), RAW_CODE(NOT_FOUND));
    raw_close(&old);
    assert_int_equal(raw_open_as(&c, p->d.socket, BOB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c, "", bytes), MIB / 2);
    raw_close(&c);
    assert_int_equal(remove_named(&p->root, "+70002", "diary"), RAW_CODE(OK));
    place_stop(p);
}

static void a_name_of_the_configuration_means_the_user_who_has_it_now(void **state)
{
    struct place p;

    (void)state;
    a_user_who_is_made_again_under_another_uid_takes_the_name_along(&p, true);
}

static void a_name_that_no_file_mentions_means_the_user_who_has_it_now(void **state)
{
    struct place p;

    (void)state;
    a_user_who_is_made_again_under_another_uid_takes_the_name_along(&p, false);
}

// Nobody connects: the limit moves with the name all the same.
static void a_limit_that_is_set_means_the_user_who_has_the_name_now(void **state)
{
    struct place p;
    struct raw new;

    (void)state;
    begin();
    place_start(&p, HEAD "[quota user:bob]\nbytes = 5M\n");
    user_database_users(&database, "alice:70001:70001\nbob:70003:70003\n");
    assert_int_equal(raw_set_quota(&p.root, "user:bob", "regions", "9"), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&new, p.d.socket, NEW_BOB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&new, "", regions_limit), 9);
    assert_int_equal(USAGE_OF(&new, "", bytes_limit), 5 * MIB);
    assert_int_equal(USAGE_OF(&p.root, "user:bob", connections), 1);
    raw_close(&new);
    place_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_of_the_configuration_means_the_user_who_has_it_now),
        TEST(a_name_that_no_file_mentions_means_the_user_who_has_it_now),
        TEST(a_limit_that_is_set_means_the_user_who_has_the_name_now),
    };

    return cmocka_run_group_tests(tests, make_database, remove_database);
}
