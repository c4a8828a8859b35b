// Users whose names are not short and plain: blanks, letters beyond ASCII, more than 63 bytes.  Such a user has the
// same groups, limits and rights as any other, and is named in sections, commands and regions.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"
#include "tests/lib/user_database.h"

#define NAME_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG_NAME NAME_64 "." NAME_64 "." NAME_64

enum { BLANK = 70001, UMLAUT = 70002, LONG = 70003, BYTES = 70004, PLUS = 70005 };

static const struct {
    const char *name;
    uid_t uid;
} named[] = {{"DOMAIN\\eva de vries", BLANK}, {"j\xc3\xb6rg \xe6\x9d\x8e", UMLAUT}, {LONG_NAME, LONG}};
enum { N_NAMED = sizeof named / sizeof *named };

static int make_database_of_names(void **state)
{
    make_database(state);
    user_database_users(&database, "DOMAIN\\eva de vries:70001:70001\nj\xc3\xb6rg \xe6\x9d\x8e:70002:70002\n" LONG_NAME
                                   ":70003:70003\n"
                                   "b\xff\xfe:70004:70004\n+0:70005:70005\n");
    user_database_groups(
        &database, "data team:70500:DOMAIN\\eva de vries,j\xc3\xb6rg \xe6\x9d\x8e," LONG_NAME ",b\xff\xfe,+0\n"
                   "chefs \xc3\xa4:70501:DOMAIN\\eva de vries,j\xc3\xb6rg \xe6\x9d\x8e," LONG_NAME ",b\xff\xfe\n");
    return 0;
}

static void subject_of(int i, char *ret, size_t size)
{
    snprintf(ret, size, "user:%s", named[i].name);
}

static void members_groups_and_administrators_are_found_whatever_their_names(void **state)
{
    const uid_t uids[] = {BLANK, UMLAUT, LONG, BYTES};
    struct test_daemon d;
    struct raw root;

    (void)state;
    test_daemon_start(&d,
                      "[daemon]\nkeep_free = 0\nadmin_group = chefs \xc3\xa4\n[quota default]\nbytes = 1M\n"
                      "[quota members:data team]\nbytes = 2M\n[quota group:data team]\nbytes = 100M\n",
                      NULL);
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
        struct raw_handle h = raw_handle_new();
        struct raw c;

        assert_int_equal(raw_open_as(&c, d.socket, uids[i]), RAW_CODE(OK));
        assert_int_equal(raw_create(&c, &h, 2 * MIB), RAW_CODE(OK));
        assert_int_equal(USAGE_OF(&c, "", bytes_limit), 2 * MIB);
        assert_int_equal(USAGE_OF(&c, "group:data team", bytes), 2 * MIB);
        assert_int_equal(USAGE_OF(&c, "unlisted", bytes), 0); // which only administrators and the unlisted see
        raw_close(&c);
        AWAIT_USAGE(&root, "total", bytes, 0);
    }
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

static void sections_and_commands_take_such_names(void **state)
{
    struct test_daemon d;
    struct raw root;

    (void)state;
    test_daemon_start(&d,
                      "[daemon]\nkeep_free = 0\n[quota user:DOMAIN\\eva de vries]\nbytes = 3M\n"
                      "[quota user:j\xc3\xb6rg \xe6\x9d\x8e]\nbytes = 3M\n[quota user:" LONG_NAME "]\nbytes = 3M\n",
                      NULL);
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    for (int i = 0; i < N_NAMED; i++) {
        char subject[300], text[400], expected[320];
        struct raw_handle h = raw_handle_new();
        uint64_t n = 0;
        struct raw c;
        RawReply *reply;

        subject_of(i, subject, sizeof subject);
        snprintf(expected, sizeof expected, "%s bytes", subject);
        assert_int_equal(raw_open_as(&c, d.socket, named[i].uid), RAW_CODE(OK));
        assert_int_equal(raw_create(&c, &h, MIB), RAW_CODE(OK));
        assert_int_equal(USAGE_OF(&root, subject, bytes), MIB);
        assert_int_equal(USAGE_OF(&root, subject, bytes_limit), 3 * MIB);
        raw_send_grow(&c, &h, 4 * MIB, 0);
        reply = raw_answer(&c);
        assert_int_equal(raw_code(reply), RAW_CODE(LIMIT));
        assert_string_equal(reply->error->limit_name, expected);
        raw_free(reply);
        assert_int_equal(raw_set_quota(&root, subject, "bytes", "4M"), RAW_CODE(OK));
        assert_int_equal(USAGE_OF(&c, "", bytes_limit), 4 * MIB);
        assert_int_equal(raw_quota_text(&c, subject, "bytes", text, sizeof text), RAW_CODE(OK));
        assert_string_equal(text, "4M set at run time");
        assert_int_equal(raw_disconnect_user(&root, named[i].name, &n), RAW_CODE(OK));
        assert_int_equal(n, 1);
        raw_close(&c);
    }
    AWAIT_USAGE(&root, "total", regions, 0);
    // The quota that was set is kept under the whole name.
    raw_close(&root);
    test_daemon_kill(&d, SIGKILL);
    test_daemon_restart(&d);
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    for (int i = 0; i < N_NAMED; i++) {
        char subject[300];

        subject_of(i, subject, sizeof subject);
        assert_int_equal(USAGE_OF(&root, subject, bytes_limit), 4 * MIB);
    }
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

struct reader {
    const char *address, *name;
};

static void read_diary(struct actor *self, void *data)
{
    const struct reader *r = data;
    struct diskalloc_region *region = NULL;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(r->address, NULL, &da) == 0);
    NEED(open_named(da, "diary", MIB, DISKALLOC_REGION_CREATE, &region) == 0);
    strcpy(diskalloc_region_data(region), "dear diary");
    actor_next(self);
    diskalloc_region_close(region);
    NEED(diskalloc_region_unlink(da, "diary") == 0);
    diskalloc_close(da);
    actor_done(self);
}

static void the_library_reaches_the_regions_of_such_users(void **state)
{
    struct test_backend b = {.remote = true};

    (void)state;
    test_daemon_start(&b.daemon, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 2M\n", NULL);
    for (int i = 0; i < N_NAMED; i++) {
        struct reader r = {b.daemon.address, named[i].name};
        struct diskalloc_region *region = NULL;
        struct diskalloc_usage u;
        struct actor a;
        char name[300];

        actor_start(&a, read_diary, &r, named[i].uid);
        actor_await(&a);
        assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
        snprintf(name, sizeof name, "%s/diary", named[i].name);
        // Root is an administrator, and no owner.
        assert_int_equal(open_named(b.da, name, 0, 0, &region), -EACCES);
        assert_int_equal(diskalloc_region_unlink(b.da, name), -EACCES);
        subject_of(i, name, sizeof name);
        assert_int_equal(diskalloc_get_usage(b.da, name, &u, sizeof u), 0);
        assert_int_equal(u.bytes, MIB);
        diskalloc_close(b.da);
        actor_go(&a);
        actor_await(&a);
        actor_finish(&a);
    }
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    backend_stop(&b);
}

static void a_long_name_leaves_the_resource_in_the_error_readable(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_error_info info;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    (void)self;
    NEED(diskalloc_open(data, NULL, &da) == 0);
    o.size = 3 * MIB;
    NEED(diskalloc_region_create(da, &o, &r) == -EDQUOT);
    NEED(strstr(diskalloc_last_error(), "limit 2.0M, used 0"));
    NEED(diskalloc_last_error_info(&info, sizeof info) == 0);
    NEED(strncmp(info.limit_name, "user:0123", 9) == 0);
    NEED(strcmp(info.limit_name + strlen(info.limit_name) - 6, " bytes") == 0);
    diskalloc_close(da);
}

static void the_librarys_error_of_a_long_name_still_tells_bytes(void **state)
{
    struct test_backend b = {.remote = true};
    struct actor a;

    (void)state;
    test_daemon_start(&b.daemon, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 2M\n", NULL);
    actor_start(&a, a_long_name_leaves_the_resource_in_the_error_readable, b.daemon.address, LONG);
    actor_finish(&a);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    backend_stop(&b);
}

// A name that is no text, or that looks like a number, is shown as +UID; the groups are those of the name.
static void a_name_that_cannot_be_shown_is_shown_as_a_number(void **state)
{
    const uid_t uids[] = {BYTES, PLUS};
    struct test_daemon d;
    struct raw root, c;

    (void)state;
    test_daemon_start(&d, "[daemon]\nkeep_free = 0\n[quota members:data team]\nbytes = 2M\n", NULL);
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    for (int i = 0; i < 2; i++) {
        char subject[40];

        snprintf(subject, sizeof subject, "user:+%u", (unsigned)uids[i]);
        assert_int_equal(raw_open_as(&c, d.socket, uids[i]), RAW_CODE(OK));
        assert_int_equal(USAGE_OF(&c, subject, bytes_limit), 2 * MIB);
        assert_int_equal(USAGE_OF(&root, subject, connections), 1);
        raw_close(&c);
    }
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_groups_and_administrators_are_found_whatever_their_names),
        TEST(sections_and_commands_take_such_names),
        TEST(the_library_reaches_the_regions_of_such_users),
        TEST(the_librarys_error_of_a_long_name_still_tells_bytes),
        TEST(a_name_that_cannot_be_shown_is_shown_as_a_number),
    };

    return cmocka_run_group_tests(tests, make_database_of_names, remove_database);
}
