// Limits of control groups, with a real daemon and real control groups.
#include "tests/lib/quota_usage.h"

#include "daemon/proc.h"
#include "tests/lib/cgroup.h"

enum { SOMEBODY = 61234 }; // a uid that nobody has

static struct cgroup batch, inner, other;
static char batch_path[256]; // as the kernel tells
static char subject[300];

// A connection of a program in G.
static struct raw connect_from(const struct cgroup *g, const struct test_daemon *d, uid_t uid)
{
    struct raw c;
    int code;

    assert_int_equal(cgroup_enter(g), 0);
    code = raw_open_as(&c, d->socket, uid);
    cgroup_leave_plain();
    assert_int_equal(code, RAW_CODE(OK));
    return c;
}

static void start(struct test_daemon *d, const char *limits)
{
    char config[600];

    snprintf(config, sizeof config, "[daemon]\nkeep_free = 0\n%s%s%s%s\n", limits ? "[quota " : "",
             limits ? subject : "", limits ? "]\n" : "", limits ? limits : "");
    test_daemon_start(d, config, NULL);
}

static void programs_below_a_control_group_share_its_limit_whoever_they_are(void **state)
{
    struct raw_handle h[4] = {raw_handle_new(), raw_handle_new(), raw_handle_new(), raw_handle_new()};
    struct raw root, first, second, outside;
    struct test_daemon d;

    (void)state;
    start(&d, "bytes = 8M");
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    first = connect_from(&batch, &d, 0);
    second = connect_from(&inner, &d, SOMEBODY);
    outside = connect_from(&other, &d, SOMEBODY);
    assert_int_equal(raw_create(&first, &h[0], 6 * MIB), RAW_CODE(OK));
    assert_int_equal(raw_create(&second, &h[1], 3 * MIB), RAW_CODE(LIMIT));
    assert_int_equal(raw_create(&outside, &h[2], 3 * MIB), RAW_CODE(OK));
    assert_int_equal(raw_create(&second, &h[1], 2 * MIB), RAW_CODE(OK));
    assert_int_equal(raw_grow(&second, &h[1], 2 * MIB + 4096), RAW_CODE(LIMIT));
    assert_int_equal(USAGE_OF(&root, subject, bytes), 8 * MIB);
    assert_int_equal(USAGE_OF(&root, subject, regions), 2);
    assert_int_equal(USAGE_OF(&root, subject, connections), 2);
    assert_int_equal(USAGE_OF(&second, "", grantable_bytes), 0);
    // A program in the group sees the group's usage, another one does not.
    assert_int_equal(USAGE_OF(&second, subject, bytes), 8 * MIB);
    RawReply *reply = raw_usage(&outside, subject);
    assert_int_equal(raw_code(reply), RAW_CODE(ACCESS));
    raw_free(reply);
    raw_close(&first);
    AWAIT_USAGE(&root, subject, bytes, 2 * MIB);
    assert_int_equal(raw_grow(&second, &h[1], 8 * MIB), RAW_CODE(OK));
    raw_close(&second);
    raw_close(&outside);
    AWAIT_USAGE(&root, subject, bytes, 0);
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

static void who_waits_for_a_control_group_is_counted_and_served(void **state)
{
    struct raw_handle h[2] = {raw_handle_new(), raw_handle_new()};
    struct raw root, first, second;
    struct test_daemon d;
    RawReply *reply;

    (void)state;
    start(&d, "bytes = 8M");
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    first = connect_from(&batch, &d, 0);
    second = connect_from(&inner, &d, SOMEBODY);
    assert_int_equal(raw_create(&first, &h[0], 6 * MIB), RAW_CODE(OK));
    assert_int_equal(raw_create(&second, &h[1], MIB), RAW_CODE(OK));
    raw_send_grow(&second, &h[1], 4 * MIB, 60000);
    AWAIT_USAGE(&root, subject, waiters, 1);
    assert_int_equal(raw_shrink(&first, &h[0], 4 * MIB, 6 * MIB), RAW_CODE(OK));
    reply = raw_answer(&second);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    raw_free(reply);
    assert_int_equal(USAGE_OF(&root, subject, waiters), 0);
    raw_close(&first);
    raw_close(&second);
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

static void named_regions_count_after_a_restart_as_before(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw c;

    (void)state;
    start(&d, "bytes = 8M");
    c = connect_from(&inner, &d, 0);
    assert_int_equal(raw_create_named(&c, "result", &h, 5 * MIB), RAW_CODE(OK));
    raw_close(&c);
    test_daemon_kill(&d, SIGKILL);
    test_daemon_restart(&d);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c, subject, bytes), 5 * MIB);
    assert_int_equal(USAGE_OF(&c, subject, regions), 1);
    assert_int_equal(raw_remove(&c, &h, false), RAW_CODE(OK));
    AWAIT_USAGE(&c, subject, bytes, 0);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

static void a_limit_that_is_set_later_counts_what_there_is(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw root, c;
    char text[200];
    RawReply *reply;

    (void)state;
    start(&d, NULL);
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    c = connect_from(&inner, &d, SOMEBODY);
    assert_int_equal(raw_create(&c, &h, 5 * MIB), RAW_CODE(OK));
    assert_int_equal(raw_set_quota(&root, subject, "bytes", "6M"), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&root, subject, bytes), 5 * MIB);
    assert_int_equal(raw_grow(&c, &h, 7 * MIB), RAW_CODE(LIMIT));
    assert_int_equal(raw_quota_text(&root, subject, "bytes", text, sizeof text), RAW_CODE(OK));
    assert_string_equal(text, "6M set at run time");
    assert_int_equal(raw_quota_text(&c, subject, "bytes", text, sizeof text), RAW_CODE(OK));
    assert_string_equal(text, "6M set at run time");
    assert_int_equal(raw_unset_quota(&root, subject, NULL), RAW_CODE(OK));
    assert_int_equal(raw_grow(&c, &h, 7 * MIB), RAW_CODE(OK));
    reply = raw_usage(&root, subject);
    assert_int_equal(raw_code(reply), RAW_CODE(NOT_FOUND));
    raw_free(reply);
    raw_close(&c);
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

static void the_mark_of_a_control_group_is_told_to_its_programs(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct raw first, second, outside;
    struct test_daemon d;

    (void)state;
    start(&d, "bytes = 8M\nwarn_at = 50%");
    first = connect_from(&batch, &d, 0);
    second = connect_from(&inner, &d, SOMEBODY);
    outside = connect_from(&other, &d, SOMEBODY);
    assert_int_equal(raw_create(&first, &h, 5 * MIB), RAW_CODE(OK));
    raw_free(raw_usage(&second, ""));
    raw_free(raw_usage(&outside, ""));
    assert_int_equal(first.n_events, 1);
    assert_int_equal(second.n_events, 1);
    assert_int_equal(outside.n_events, 0);
    raw_close(&first);
    raw_close(&second);
    raw_close(&outside);
    test_daemon_stop_and_remove(&d);
}

static void connections_and_regions_are_limited_too(void **state)
{
    struct raw_handle h[2] = {raw_handle_new(), raw_handle_new()};
    struct test_daemon d;
    struct raw c, more;

    (void)state;
    start(&d, "connections = 1\nregions = 1");
    c = connect_from(&batch, &d, SOMEBODY);
    assert_int_equal(raw_create(&c, &h[0], 4096), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h[1], 4096), RAW_CODE(LIMIT));
    assert_int_equal(cgroup_enter(&inner), 0);
    assert_int_equal(raw_open_as(&more, d.socket, 0), RAW_CODE(LIMIT));
    cgroup_leave_plain();
    raw_close(&more);
    assert_int_equal(raw_open(&more, d.socket), RAW_CODE(OK));
    raw_close(&more);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

// Of a connection that was handed on, the control group is not known.
static void who_connects_and_ends_is_refused_where_there_are_limits(void **state)
{
    struct test_daemon d;

    (void)state;
    for (int limited = 1; limited >= 0; limited--) {
        struct raw c = {.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int status, process = -1;
        socklen_t size = sizeof process;
        pid_t child;

        start(&d, limited ? "bytes = 8M" : NULL);
        strcpy(address.sun_path, d.socket);
        child = fork();
        if (child == 0)
            _exit(connect(c.sock, (struct sockaddr *)&address, sizeof address) != 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        if (limited && getsockopt(c.sock, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &process, &size) < 0 &&
            errno == ENOPROTOOPT)
            print_message("before Linux 6.5 only /proc tells\n");
        if (process >= 0)
            close(process);
        assert_int_equal(raw_hello(&c), limited ? RAW_CODE(ACCESS) : RAW_CODE(OK));
        raw_close(&c);
        test_daemon_stop_and_remove(&d);
    }
}

static int make_groups(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "diskalloc-%d.slice", (int)getpid());
    if (geteuid() != 0 || !cgroup_make_plain(&batch, NULL, name)) {
        print_message("skipped: needs root, and a control group file system that it may write to\n");
        exit(77);
    }
    snprintf(name, sizeof name, "diskalloc-%d.slice-not", (int)getpid()); // no group of the other one
    if (!cgroup_make_plain(&inner, &batch, "job-7.scope") || !cgroup_make_plain(&other, NULL, name) ||
        cgroup_enter(&batch) < 0)
        return -1;
    if (!proc_cgroup(getpid(), batch_path, sizeof batch_path))
        return -1;
    cgroup_leave_plain();
    snprintf(subject, sizeof subject, "cgroup:%s", batch_path);
    return 0;
}

static int remove_groups(void **state)
{
    (void)state;
    cgroup_leave_plain();
    cgroup_remove(&inner);
    cgroup_remove(&batch);
    cgroup_remove(&other);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(programs_below_a_control_group_share_its_limit_whoever_they_are),
        TEST(who_waits_for_a_control_group_is_counted_and_served),
        TEST(named_regions_count_after_a_restart_as_before),
        TEST(a_limit_that_is_set_later_counts_what_there_is),
        TEST(the_mark_of_a_control_group_is_told_to_its_programs),
        TEST(connections_and_regions_are_limited_too),
        TEST(who_connects_and_ends_is_refused_where_there_are_limits),
    };

    return cmocka_run_group_tests(tests, make_groups, remove_groups);
}
