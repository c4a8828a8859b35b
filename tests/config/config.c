// The configuration: what it may say, and what it means.
#include "daemon/config/limits.h"
#include "daemon/config/subjects.h"
#include "tests/lib/config_fixture.h"

static struct quota_limits limits_of_user(const struct config_fixture *f, uid_t uid, uint64_t fs_total)
{
    struct quota_limits limits;

    config_user_limits(f->config, uid, NULL, 0, fs_total, &limits);
    return limits;
}

static void an_empty_file_means_the_built_in_values(void **state)
{
    struct config_fixture f;
    struct quota_limits limits;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "");
    assert_string_equal(f.config->socket, "/run/diskalloc/diskallocd.sock");
    assert_false(f.config->socket_was_set);
    assert_int_equal(f.config->socket_mode, 0666);
    assert_int_equal(f.config->fence, CONFIG_FENCE_AUTO);
    assert_string_equal(f.config->spill_dir, "/var/lib/diskalloc");
    assert_false(f.config->spill_dir_require_mount);
    assert_string_equal(f.config->admin_group, "diskalloc");
    assert_int_equal(f.config->keep_free.kind, CONFIG_PERCENT);
    assert_int_equal(f.config->keep_free.number, 5);
    assert_null(f.config->keep_free.file);
    limits = limits_of_user(&f, 1000, 1000 * GIB);
    assert_int_equal(limits.max[QUOTA_BYTES], 50 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 10000);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], 1024);
    assert_int_equal(limits.region_bytes, QUOTA_UNLIMITED);
    assert_int_equal(limits.warn_bytes, 40 * GIB);
    config_total_limits(f.config, 1000 * GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], 800 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 100000);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], 10000);
    assert_false(config_group_limits(f.config, 0, GIB, &limits));
    assert_string_equal(f.warnings, "");
    config_fixture_deinit(&f);
}

// An instance needs no spill_dir of its own in its configuration.
static void the_directory_that_systemd_has_made_is_the_default(void **state)
{
    static const char *const others[] = {"", "relative", "/var/lib/one:/var/lib/two"};
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    setenv("STATE_DIRECTORY", "/var/lib/diskalloc-two", 1);
    load_text(&f, "");
    assert_string_equal(f.config->spill_dir, "/var/lib/diskalloc-two");
    load_text(&f, "[daemon]\nspill_dir = /spill\n");
    assert_string_equal(f.config->spill_dir, "/spill");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        setenv("STATE_DIRECTORY", others[i], 1);
        load_text(&f, "");
        assert_string_equal(f.config->spill_dir, "/var/lib/diskalloc");
    }
    unsetenv("STATE_DIRECTORY");
    config_fixture_deinit(&f);
}

static void every_key_of_the_daemon_is_taken(void **state)
{
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "[daemon]\nsocket = /a b\nsocket_mode = 660\nspill_dir=/spill\nspill_dir_require_mount = yes\n"
                  "admin_group = root\nkeep_free = 3G\nfence = landlock\n");
    assert_string_equal(f.config->socket, "/a b");
    assert_true(f.config->socket_was_set);
    assert_int_equal(f.config->socket_mode, 0660);
    assert_string_equal(f.config->spill_dir, "/spill");
    assert_true(f.config->spill_dir_require_mount);
    assert_true(f.config->admin_gid_known);
    assert_int_equal(f.config->admin_gid, 0);
    assert_int_equal(config_value_bytes(&f.config->keep_free, GIB), 3 * GIB);
    assert_string_equal(f.config->keep_free.file, f.path);
    assert_int_equal(f.config->keep_free.line, 7);
    assert_int_equal(f.config->fence, CONFIG_FENCE_LANDLOCK);
    assert_string_equal(f.warnings, "");
    config_fixture_deinit(&f);
}

static void the_unlisted_have_the_limits_of_their_section_and_else_those_of_default(void **state)
{
    struct config_fixture f;
    struct quota_limits limits;

    (void)state;
    config_fixture_init(&f);
    load_text(
        &f,
        "[quota default]\nbytes = 10G\nregions = 7\n[quota unlisted]\nregions = 3\nwarn_at = 50%\n[quota user:+5]\n");
    config_unlisted_limits(f.config, 1000 * GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], 10 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 3);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], 1024);
    assert_int_equal(limits.warn_bytes, 5 * GIB);
    assert_int_equal(limits_of_user(&f, 6, GIB).max[QUOTA_REGIONS], 7);
    assert_true(config_has_user(f.config, 5));
    assert_false(config_has_user(f.config, 6));
    load_text(&f, "");
    config_unlisted_limits(f.config, 1000 * GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], 50 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 10000);
    config_fixture_deinit(&f);
}

static void byte_order_mark_crlf_indentation_and_a_missing_last_newline_are_fine(void **state)
{
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "\xef\xbb\xbf[quota default]\r\n; a comment\r\n\t# another = one\r\n\tbytes = 7k\r\n\r\n  regions=3");
    assert_int_equal(limits_of_user(&f, 1, GIB).max[QUOTA_BYTES], 7 * 1024);
    assert_int_equal(limits_of_user(&f, 1, GIB).max[QUOTA_REGIONS], 3);
    config_fixture_deinit(&f);
}

static void drop_ins_are_read_in_the_order_of_their_names_and_later_keys_win(void **state)
{
    struct config_fixture f;
    const struct config_subject *s;
    char path[400];

    (void)state;
    config_fixture_init(&f);
    write_drop_in(&f, "B.conf", "[quota user:+5]\nbytes = 2\n");
    write_drop_in(&f, "a.conf", "\n[quota user:+5]\n\nbytes = 3\n[daemon]\nspill_dir = /a\n");
    write_drop_in(&f, "10.conf", "[quota user:+5]\nbytes = 4\nconnections = 44\n");
    write_drop_in(&f, "z.conf.off", "[nonsense\n");
    write_drop_in(&f, ".hidden.conf", "[nonsense\n");
    load_text(&f, "[daemon]\nspill_dir = /main\n[quota user:+5]\nbytes = 1\nregions = 11\n");
    assert_int_equal(limits_of_user(&f, 5, GIB).max[QUOTA_BYTES], 3);
    assert_int_equal(limits_of_user(&f, 5, GIB).max[QUOTA_REGIONS], 11);
    assert_int_equal(limits_of_user(&f, 5, GIB).max[QUOTA_CONNECTIONS], 44);
    assert_string_equal(f.config->spill_dir, "/a");
    s = f.config->subjects[f.config->n_subjects - 1];
    snprintf(path, sizeof(path), "%s.d/a.conf", f.path);
    assert_string_equal(s->values[CONFIG_FILES][CONFIG_QUOTA_BYTES].file, path);
    assert_int_equal(s->values[CONFIG_FILES][CONFIG_QUOTA_BYTES].line, 4);
    assert_string_equal(s->values[CONFIG_FILES][CONFIG_QUOTA_REGIONS].file, f.path);
    assert_int_equal(s->values[CONFIG_FILES][CONFIG_QUOTA_REGIONS].line, 5);
    assert_null(s->values[CONFIG_FILES][CONFIG_QUOTA_WARN_AT].file);
    config_fixture_deinit(&f);
}

static void unknown_users_and_groups_are_accepted_with_a_warning(void **state)
{
    struct config_fixture f;
    struct quota_limits limits;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "[quota user:no-such-user]\nbytes = 1\n[quota members:DOMAIN\\no such group]\nbytes = 1\n"
                  "[quota group:no-such-group]\nbytes = 1\n[daemon]\nadmin_group = no-such-admins\n");
    assert_non_null(strstr(f.warnings, "d.conf:1: [quota user:no-such-user] names an unknown user"));
    assert_non_null(strstr(f.warnings, "d.conf:3: [quota members:DOMAIN\\no such group] names an unknown group"));
    assert_non_null(strstr(f.warnings, "d.conf:5: [quota group:no-such-group] names an unknown group"));
    assert_non_null(strstr(f.warnings, "admin_group = no-such-admins: there is no such group"));
    assert_false(config_group_limits(f.config, 0, GIB, &limits));
    assert_int_equal(limits_of_user(&f, 0, GIB).max[QUOTA_BYTES], 50 * GIB);
    assert_string_equal(f.config->subjects[3]->name, "DOMAIN\\no such group");
    config_fixture_deinit(&f);
}

static void nothing_allowed_is_accepted_with_a_warning(void **state)
{
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    write_drop_in(&f, "later.conf", "[quota default]\nregions = 5\n");
    load_text(&f, "[quota default]\nbytes = 0\nregions = 0\nwarn_at = 0\n[quota group:+9]\nregion_bytes = 0%\n");
    assert_non_null(strstr(f.warnings, "d.conf:2: bytes = 0: nothing is allowed"));
    assert_non_null(strstr(f.warnings, "d.conf:6: region_bytes = 0: nothing is allowed"));
    assert_null(strstr(f.warnings, "regions = 0"));
    assert_null(strstr(f.warnings, "warn_at"));
    assert_int_equal(limits_of_user(&f, 1, GIB).max[QUOTA_BYTES], 0);
    config_fixture_deinit(&f);
}

static void a_user_wins_over_members_and_members_over_default_key_by_key(void **state)
{
    const gid_t groups[] = {70, 71, 72};
    struct quota_limits limits;
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "[quota default]\nbytes = 1G\nregions = 10\nconnections = 10\nregion_bytes = 1M\nwarn_at = 50%\n"
                  "[quota members:+71]\nbytes = 2G\nregions = 20\n"
                  "[quota members:+72]\nbytes = 10%\nregions = 15\n"
                  "[quota user:+5]\nregions = 5\n");
    config_user_limits(f.config, 5, groups, 3, 100 * GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], 10 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 5);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], 10);
    assert_int_equal(limits.region_bytes, 1 << 20);
    assert_int_equal(limits.warn_bytes, 5 * GIB);
    config_user_limits(f.config, 6, groups, 2, 100 * GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], 2 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 20);
    config_user_limits(f.config, 6, groups, 1, 100 * GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], GIB);
    config_fixture_deinit(&f);
}

static void an_unlimited_group_is_the_most_generous(void **state)
{
    const gid_t groups[] = {71, 72, 73};
    struct quota_limits limits;
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    load_text(
        &f,
        "[quota members:+71]\nbytes = 2G\n[quota members:+72]\nbytes = unlimited\n[quota members:+73]\nbytes = 9T\n");
    config_user_limits(f.config, 5, groups, 3, GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], QUOTA_UNLIMITED);
    assert_int_equal(limits.warn_bytes, QUOTA_UNLIMITED);
    config_fixture_deinit(&f);
}

static void a_configured_group_has_the_limits_it_says_and_no_others(void **state)
{
    struct quota_limits limits;
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "[quota group:+71]\nbytes = 2T\n");
    assert_true(config_group_limits(f.config, 71, GIB, &limits));
    assert_int_equal(limits.max[QUOTA_BYTES], 2048 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], QUOTA_UNLIMITED);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], QUOTA_UNLIMITED);
    assert_int_equal(limits.region_bytes, QUOTA_UNLIMITED);
    config_fixture_deinit(&f);
}

static void the_same_user_by_name_and_by_number_is_one_subject_across_files(void **state)
{
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    write_drop_in(&f, "1.conf", "[quota user:+0]\nbytes = 2\n");
    load_text(&f, "[quota user:root]\nbytes = 1\nregions = 1\n");
    assert_int_equal(limits_of_user(&f, 0, GIB).max[QUOTA_BYTES], 2);
    assert_int_equal(limits_of_user(&f, 0, GIB).max[QUOTA_REGIONS], 1);
    config_fixture_deinit(&f);
}

static void a_percentage_of_a_huge_file_system_does_not_wrap(void **state)
{
    struct config_value v = {.kind = CONFIG_PERCENT, .number = 100};

    (void)state;
    assert_int_equal(config_value_bytes(&v, UINT64_MAX - 1), UINT64_MAX - 1);
    v.number = 50;
    assert_int_equal(config_value_bytes(&v, 199), 99);
    v.number = 0;
    assert_int_equal(config_value_bytes(&v, UINT64_MAX - 1), 0);
}

static void subjects_are_parsed_as_the_configuration_writes_them(void **state)
{
    static const struct {
        const char *text;
        int result;
        enum config_subject_kind kind;
        const char *name;
    } cases[] = {
        {"total", 0, CONFIG_TOTAL, NULL},
        {"default", 0, CONFIG_DEFAULT, NULL},
        {"user:alice", 0, CONFIG_USER, "alice"},
        {"user:+7", 0, CONFIG_USER, "+7"},
        {"members:a b", 0, CONFIG_MEMBERS, "a b"},
        {"group:D\\g", 0, CONFIG_GROUP, "D\\g"},
        {"user:a:b", 0, CONFIG_USER, "a:b"},
        {"", -EINVAL, 0, NULL},
        {"user", -EINVAL, 0, NULL},
        {"user:", -EINVAL, 0, NULL},
        {"total:x", -EINVAL, 0, NULL},
        {"alice", -EINVAL, 0, NULL},
        {"group:+-1", -EINVAL, 0, NULL},
        {"cgroup:/", 0, CONFIG_CGROUP, "/"},
        {"cgroup:/batch.slice/a b", 0, CONFIG_CGROUP, "/batch.slice/a b"},
        {"cgroup:a-b.slice", 0, CONFIG_CGROUP, "a-b.slice"},
        {"cgroup:", -EINVAL, 0, NULL},
        {"cgroup:batch", -EINVAL, 0, NULL},
        {"cgroup:batch/a", -EINVAL, 0, NULL},
        {"cgroup:/a/", -EINVAL, 0, NULL},
        {"cgroup:/a//b", -EINVAL, 0, NULL},
        {"cgroup:/a/../b", -EINVAL, 0, NULL},
        {"cgroup:/./b", -EINVAL, 0, NULL},
        {"cgroup:a--b.slice", -EINVAL, 0, NULL},
        {"cgroup:-a.slice", -EINVAL, 0, NULL},
        {"cgroup:.slice", -EINVAL, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum config_subject_kind kind = CONFIG_TOTAL;
        const char *name = NULL;

        assert_int_equal(config_parse_subject(cases[i].text, &kind, &name), cases[i].result);
        assert_int_equal(kind, cases[i].kind);
        assert_true(name == cases[i].name || strcmp(name, cases[i].name) == 0);
    }
}

static void a_slice_is_the_path_where_systemd_keeps_it(void **state)
{
    static const struct {
        const char *name, *path; // NULL: there is none
    } cases[] = {
        {"/batch.slice/a.scope", "/batch.slice/a.scope"},
        {"batch.slice", "/batch.slice"},
        {"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
        {"-.slice", "/"},
        {"a-.slice", NULL},
    };
    char path[64], exact[sizeof "/a.slice/a-b.slice"];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(config_cgroup_path(cases[i].name, path, sizeof path), cases[i].path ? 0 : -EINVAL);
        if (cases[i].path)
            assert_string_equal(path, cases[i].path);
    }
    assert_int_equal(config_cgroup_path("a-b.slice", exact, sizeof exact), 0);
    assert_int_equal(config_cgroup_path("a-b.slice", exact, sizeof exact - 1), -EINVAL);
    assert_int_equal(config_cgroup_path("/a", exact, 2), -EINVAL);
}

static void a_control_group_has_the_limits_it_says_under_either_name(void **state)
{
    const struct config_subject *s;
    struct config_fixture f;
    struct quota_limits limits;

    (void)state;
    config_fixture_init(&f);
    load_text(&f, "[quota default]\nbytes = 1G\n");
    assert_false(config_has_cgroups(f.config));
    load_text(&f, "[quota cgroup:a-b.slice]\nbytes = 4T\nregions = 7\n");
    assert_true(config_has_cgroups(f.config));
    assert_string_equal(f.warnings, "");
    s = config_find_subject(f.config, CONFIG_CGROUP, "/a.slice/a-b.slice");
    assert_non_null(s);
    config_cgroup_limits(s, GIB, &limits);
    assert_int_equal(limits.max[QUOTA_BYTES], 4096 * GIB);
    assert_int_equal(limits.max[QUOTA_REGIONS], 7);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], QUOTA_UNLIMITED);
    config_fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_unlisted_have_the_limits_of_their_section_and_else_those_of_default),
        TEST(an_empty_file_means_the_built_in_values),
        TEST(the_directory_that_systemd_has_made_is_the_default),
        TEST(every_key_of_the_daemon_is_taken),
        TEST(byte_order_mark_crlf_indentation_and_a_missing_last_newline_are_fine),
        TEST(drop_ins_are_read_in_the_order_of_their_names_and_later_keys_win),
        TEST(unknown_users_and_groups_are_accepted_with_a_warning),
        TEST(nothing_allowed_is_accepted_with_a_warning),
        TEST(a_user_wins_over_members_and_members_over_default_key_by_key),
        TEST(an_unlimited_group_is_the_most_generous),
        TEST(a_slice_is_the_path_where_systemd_keeps_it),
        TEST(a_control_group_has_the_limits_it_says_under_either_name),
        TEST(a_configured_group_has_the_limits_it_says_and_no_others),
        TEST(the_same_user_by_name_and_by_number_is_one_subject_across_files),
        TEST(a_percentage_of_a_huge_file_system_does_not_wrap),
        TEST(subjects_are_parsed_as_the_configuration_writes_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
