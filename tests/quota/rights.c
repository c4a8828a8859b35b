// The rights of an ordinary user, a member of admin_group and root; and regions that are removed while they are
// attached.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

enum { ADMIN, ALICE, BOB }; // users of people

static struct people people;

struct office {
    struct test_daemon d;
    struct raw root, admin, alice, bob;
    struct raw_handle hers, his;
    char alice_subject[40], bob_subject[40], group_subject[40];
};

static void office_start(struct office *o)
{
    char config[300];

    memset(o, 0, sizeof(*o));
    snprintf(config, sizeof(config),
             "[daemon]\nkeep_free = 0\nadmin_group = %s\n[quota default]\nbytes = 8M\n[quota group:%s]\nbytes = 12M\n",
             people.group[0], people.group[1]);
    test_daemon_start(&o->d, config, NULL);
    assert_int_equal(raw_open(&o->root, o->d.socket), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&o->admin, o->d.socket, people.uid[ADMIN]), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&o->alice, o->d.socket, people.uid[ALICE]), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&o->bob, o->d.socket, people.uid[BOB]), RAW_CODE(OK));
    o->hers = raw_handle_new();
    o->his = raw_handle_new();
    assert_int_equal(raw_create(&o->alice, &o->hers, MIB), RAW_CODE(OK));
    assert_int_equal(raw_create(&o->bob, &o->his, 2 * MIB), RAW_CODE(OK));
    snprintf(o->alice_subject, sizeof(o->alice_subject), "user:%s", people.user[ALICE]);
    snprintf(o->bob_subject, sizeof(o->bob_subject), "user:%s", people.user[BOB]);
    snprintf(o->group_subject, sizeof(o->group_subject), "group:%s", people.group[1]);
}

static void office_stop(struct office *o)
{
    raw_close(&o->alice);
    raw_close(&o->bob);
    raw_close(&o->admin);
    AWAIT_USAGE(&o->root, "total", regions, 0);
    assert_int_equal(USAGE_OF(&o->root, "total", bytes), 0);
    raw_close(&o->root);
    test_daemon_stop_and_remove(&o->d);
}

static int usage_code(struct raw *c, const char *subject)
{
    RawReply *reply = raw_usage(c, subject);
    int code = raw_code(reply);

    raw_free(reply);
    return code;
}

static void administrators_see_all_usage_and_users_their_own_and_their_groups(void **state)
{
    struct office o;

    (void)state;
    people_join(&people, ALICE, 1);
    office_start(&o);
    struct raw *const admins[] = {&o.root, &o.admin};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(USAGE_OF(admins[i], o.alice_subject, bytes), MIB);
        assert_int_equal(USAGE_OF(admins[i], o.bob_subject, bytes), 2 * MIB);
        assert_int_equal(USAGE_OF(admins[i], "total", bytes), 3 * MIB);
        assert_int_equal(USAGE_OF(admins[i], o.group_subject, bytes), MIB);
    }
    assert_int_equal(USAGE_OF(&o.alice, "", bytes), MIB);
    assert_int_equal(USAGE_OF(&o.alice, o.alice_subject, bytes), MIB);
    assert_int_equal(USAGE_OF(&o.alice, o.group_subject, bytes), MIB);
    assert_int_equal(usage_code(&o.alice, o.bob_subject), RAW_CODE(ACCESS));
    assert_int_equal(USAGE_OF(&o.alice, "total", bytes), 3 * MIB); // as the status and the metrics say
    assert_int_equal(usage_code(&o.alice, "user:nobody-of-that-name"), RAW_CODE(ACCESS));
    assert_int_equal(usage_code(&o.bob, o.group_subject), RAW_CODE(ACCESS));
    people_leave(&people, ALICE, 1);
    office_stop(&o);
}

static void limits_are_set_and_unset_by_administrators_only(void **state)
{
    struct office o;

    (void)state;
    office_start(&o);
    struct raw *const users[] = {&o.alice, &o.bob};
    const char *const subjects[] = {"total", "default", o.alice_subject, o.group_subject};
    for (int u = 0; u < 2; u++)
        for (size_t s = 0; s < sizeof(subjects) / sizeof(*subjects); s++) {
            assert_int_equal(raw_set_quota(users[u], subjects[s], "bytes", "1T"), RAW_CODE(ACCESS));
            assert_int_equal(raw_unset_quota(users[u], subjects[s], NULL), RAW_CODE(ACCESS));
        }
    assert_int_equal(USAGE_OF(&o.root, o.alice_subject, bytes_limit), 8 * MIB);
    assert_int_equal(raw_set_quota(&o.admin, o.alice_subject, "bytes", "3M"), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&o.alice, "", bytes_limit), 3 * MIB);
    assert_int_equal(raw_unset_quota(&o.alice, o.alice_subject, "bytes"), RAW_CODE(ACCESS));
    assert_int_equal(raw_unset_quota(&o.root, o.alice_subject, "bytes"), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&o.alice, "", bytes_limit), 8 * MIB);
    office_stop(&o);
}

static bool lists(struct raw *c, const char *subject)
{
    char text[400];

    assert_int_equal(raw_quota_text(c, subject, "bytes", text, sizeof(text)), RAW_CODE(OK));
    return text[0] != '\0';
}

static void users_are_listed_the_limits_that_concern_them(void **state)
{
    struct office o;

    (void)state;
    people_join(&people, ALICE, 1);
    office_start(&o);
    assert_int_equal(raw_set_quota(&o.admin, o.bob_subject, "bytes", "3M"), RAW_CODE(OK));
    assert_true(lists(&o.admin, o.bob_subject));
    assert_true(lists(&o.root, o.group_subject));
    assert_true(lists(&o.alice, o.group_subject));
    assert_true(lists(&o.alice, "default"));
    assert_true(lists(&o.bob, o.bob_subject));
    assert_false(lists(&o.alice, o.bob_subject));
    assert_false(lists(&o.bob, o.group_subject));
    people_leave(&people, ALICE, 1);
    office_stop(&o);
}

static size_t n_listed(struct raw *c, const char *user, int *ret_code)
{
    Diskalloc__V1__ListRegions body = DISKALLOC__V1__LIST_REGIONS__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    size_t n = 0;

    body.user = raw_text(user);
    q.body_case = RAW_BODY(LIST_REGIONS);
    q.list_regions = &body;
    reply = raw_call(c, &q);
    *ret_code = raw_code(reply);
    if (*ret_code == RAW_CODE(OK))
        n = reply->region_list->n_regions;
    raw_free(reply);
    return n;
}

static void users_are_listed_their_own_regions_and_administrators_all(void **state)
{
    struct office o;
    int code;

    (void)state;
    office_start(&o);
    assert_int_equal(n_listed(&o.root, "", &code), 2);
    assert_int_equal(n_listed(&o.admin, "", &code), 2);
    assert_int_equal(n_listed(&o.admin, people.user[BOB], &code), 1);
    assert_int_equal(n_listed(&o.alice, "", &code), 1);
    assert_int_equal(n_listed(&o.alice, people.user[BOB], &code), 0);
    office_stop(&o);
}

static void connections_of_others_are_closed_by_administrators_only(void **state)
{
    struct office o;
    uint64_t n = 0;

    (void)state;
    office_start(&o);
    assert_int_equal(raw_disconnect_user(&o.alice, people.user[BOB], &n), RAW_CODE(ACCESS));
    assert_int_equal(raw_disconnect_user(&o.bob, people.user[ADMIN], &n), RAW_CODE(ACCESS));
    assert_int_equal(usage_code(&o.bob, ""), RAW_CODE(OK));
    assert_int_equal(raw_disconnect_user(&o.admin, people.user[BOB], &n), RAW_CODE(OK));
    assert_int_equal(n, 1);
    assert_int_equal(usage_code(&o.bob, ""), RAW_CODE(PROTOCOL)); // nothing came
    assert_int_equal(usage_code(&o.alice, ""), RAW_CODE(OK));
    raw_close(&o.bob);
    assert_int_equal(raw_open_as(&o.bob, o.d.socket, people.uid[BOB]), RAW_CODE(OK));
    AWAIT_USAGE(&o.admin, o.bob_subject, regions, 0);
    assert_int_equal(raw_disconnect_user(&o.root, people.user[ALICE], &n), RAW_CODE(OK));
    office_stop(&o);
}

static void an_attached_region_is_refused_and_by_force_leaves_its_holder_the_memory_and_the_charge(void **state)
{
    Diskalloc__V1__RemoveRegion body = DISKALLOC__V1__REMOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct office o;
    RawReply *reply;

    (void)state;
    office_start(&o);
    assert_int_not_equal(raw_remove(&o.bob, &o.hers, true), RAW_CODE(OK));
    assert_int_equal(raw_remove(&o.alice, &o.hers, false), RAW_CODE(BUSY));
    body.handle = raw_bytes(&o.hers);
    q.body_case = RAW_BODY(REMOVE_REGION);
    q.remove_region = &body;
    reply = raw_call(&o.admin, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(BUSY));
    assert_int_equal(reply->body_case, DISKALLOC__V1__REPLY__BODY_REGION);
    assert_int_equal(reply->region->n_holders, 1);
    assert_int_equal(reply->region->holders[0]->uid, people.uid[ALICE]);
    raw_free(reply);
    assert_int_equal(raw_remove(&o.admin, &o.hers, true), RAW_CODE(OK));
    assert_int_equal(raw_shrink(&o.alice, &o.hers, 4096, MIB), RAW_CODE(STALE));
    assert_int_equal(USAGE_OF(&o.alice, "", bytes), MIB);
    assert_int_equal(USAGE_OF(&o.alice, "", regions), 1);
    raw_close(&o.alice);
    AWAIT_USAGE(&o.root, "total", bytes, 2 * MIB);
    assert_int_equal(raw_remove(&o.admin, &o.hers, true), RAW_CODE(NOT_FOUND));
    office_stop(&o);
}

static void what_was_removed_by_force_stays_with_those_who_have_it(void **state)
{
    struct diskalloc_region *r = NULL, *again = NULL;
    struct diskalloc *da = NULL, *other = NULL;
    struct test_daemon d;
    struct raw root;
    char user[40];
    Diskalloc__V1__RemoveRegion body = DISKALLOC__V1__REMOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    subject_of_uid(geteuid(), user, sizeof(user));
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    assert_int_equal(diskalloc_open(d.address, NULL, &da), 0);
    assert_int_equal(diskalloc_open(d.address, NULL, &other), 0);
    assert_int_equal(open_named(da, "book", MIB, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(open_named(other, "book", 0, 0, &again), 0);
    memset(diskalloc_region_data(r), 0x33, MIB);
    body.name = raw_text("book");
    body.force = true;
    q.body_case = RAW_BODY(REMOVE_REGION);
    q.remove_region = &body;
    assert_int_equal(raw_done(&root, &q), RAW_CODE(OK));
    assert_int_equal(((uint8_t *)diskalloc_region_data(again))[MIB - 1], 0x33);
    ((uint8_t *)diskalloc_region_data(r))[0] = 0x34;
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 2 * MIB));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 2 * MIB, -1));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(again, 4096));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_discard", diskalloc_region_discard(r, 0, MIB));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_commit", diskalloc_region_commit(r, 0, 0, 0));
    assert_int_equal(((uint8_t *)diskalloc_region_data(r))[0], 0x34);
    assert_int_equal(USAGE_OF(&root, user, bytes), MIB);
    diskalloc_region_close(r);
    assert_int_equal(((uint8_t *)diskalloc_region_data(again))[0], 0x34);
    assert_int_equal(USAGE_OF(&root, user, bytes), MIB);
    // Its name is free again.
    assert_int_equal(open_named(da, "book", 4096, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
    assert_int_equal(USAGE_OF(&root, user, bytes), MIB + 4096);
    diskalloc_region_close(again);
    AWAIT_USAGE(&root, user, bytes, 4096);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "book"), 0);
    AWAIT_USAGE(&root, user, bytes, 0);
    diskalloc_close(other);
    diskalloc_close(da);
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

static int make_people(void **state)
{
    (void)state;
    people_make(&people);
    people_join(&people, ADMIN, 0);
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
        TEST(administrators_see_all_usage_and_users_their_own_and_their_groups),
        TEST(limits_are_set_and_unset_by_administrators_only),
        TEST(users_are_listed_the_limits_that_concern_them),
        TEST(users_are_listed_their_own_regions_and_administrators_all),
        TEST(connections_of_others_are_closed_by_administrators_only),
        TEST(an_attached_region_is_refused_and_by_force_leaves_its_holder_the_memory_and_the_charge),
        TEST(what_was_removed_by_force_stays_with_those_who_have_it),
    };

    return cmocka_run_group_tests(tests, make_people, remove_people);
}
