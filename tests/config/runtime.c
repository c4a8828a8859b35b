// Quotas set at run time: a layer over the files, kept in a file of its own.
#include "tests/lib/config_fixture.h"

#include <fcntl.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/limits.h"
#include "daemon/config/runtime.h"
#include "daemon/config/subjects.h"
#include "daemon/store/small_file.h"
#include "proto/util/cleanup.h"

struct layer_fixture {
    struct config_fixture files;
    int dir;
};

static void layer_init(struct layer_fixture *f, const char *text)
{
    config_fixture_init(&f->files);
    f->dir = open(f->files.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dir >= 0);
    load_text(&f->files, text);
}

static void layer_deinit(struct layer_fixture *f)
{
    close(f->dir);
    config_fixture_deinit(&f->files);
}

// Sets TEXTS, or unsets what TEXTS NULL says, at once.
static int change(struct layer_fixture *f, const char *subject, const char *const *keys, const char *const *texts,
                  size_t n)
{
    struct config_change change;
    int r;

    free(steal(&f->files.error));
    assert_int_equal(config_make_room(f->files.config), 0);
    r = config_change_prepare(&change, f->files.config, subject, keys, texts, n, warn, &f->files, &f->files.error);
    if (r == 0)
        config_change_apply(&change);
    config_change_deinit(&change);
    return r;
}

static int set(struct layer_fixture *f, const char *subject, const char *key, const char *text)
{
    return change(f, subject, &key, &text, 1);
}

static void must_set(struct layer_fixture *f, const char *subject, const char *key, const char *text)
{
    if (set(f, subject, key, text) < 0)
        fail_msg("%s", f->files.error);
}

static void must_unset(struct layer_fixture *f, const char *subject, const char *key)
{
    if (change(f, subject, &key, NULL, key != NULL) < 0)
        fail_msg("%s", f->files.error);
}

// As a daemon that starts anew, or reloads.
static void save_and_load_again(struct layer_fixture *f)
{
    char *text = config_render_runtime(f->files.config, NULL);

    assert_non_null(text);
    assert_int_equal(small_file_write(f->dir, CONFIG_RUNTIME_FILE, text), 0);
    free(text);
    assert_int_equal(load(&f->files), 0);
    if (config_load_runtime(f->files.config, f->dir, f->files.dir, warn, &f->files, &f->files.error) < 0)
        fail_msg("%s", f->files.error);
}

static struct quota_limits limits_of(const struct layer_fixture *f, uid_t uid, gid_t group)
{
    struct quota_limits limits;

    config_user_limits(f->files.config, uid, &group, 1, 1000 * GIB, &limits);
    return limits;
}

static const struct config_subject *subject(const struct layer_fixture *f, const char *text)
{
    char name[CONFIG_SUBJECT_SIZE];

    for (size_t i = 0; i < f->files.config->n_subjects; i++)
        if (strcmp(config_subject_text(f->files.config->subjects[i], name, sizeof(name)), text) == 0)
            return f->files.config->subjects[i];
    return NULL;
}

static struct config_description describe(const struct layer_fixture *f, const char *text, enum config_quota_key key)
{
    struct config_description d = {.text = ""};

    if (!config_describe(f->files.config, subject(f, text), key, 1000 * GIB, &d))
        d.origin[0] = '\0';
    return d;
}

static void what_is_set_wins_over_the_files_key_by_key(void **state)
{
    struct layer_fixture f;

    (void)state;
    layer_init(&f, "[quota user:+5]\nbytes = 1G\nregions = 11\n");
    must_set(&f, "user:+5", "bytes", "256M");
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], 256 * MIB);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_REGIONS], 11);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_CONNECTIONS], 1024);
    must_unset(&f, "user:+5", "bytes");
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], GIB);
    layer_deinit(&f);
}

static void each_kind_of_subject_can_be_set(void **state)
{
    struct layer_fixture f;
    struct quota_limits limits;

    (void)state;
    layer_init(&f, "");
    must_set(&f, "default", "bytes", "1%");
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], 10 * GIB);
    must_set(&f, "members:+77", "bytes", "20G");
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], 20 * GIB);
    must_set(&f, "user:+5", "bytes", "unlimited");
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], QUOTA_UNLIMITED);
    must_set(&f, "total", "connections", "3");
    config_total_limits(f.files.config, GIB, &limits);
    assert_int_equal(limits.max[QUOTA_CONNECTIONS], 3);
    assert_false(config_group_limits(f.files.config, 77, GIB, &limits));
    must_set(&f, "group:+77", "region_bytes", "4K");
    assert_true(config_group_limits(f.files.config, 77, GIB, &limits));
    assert_int_equal(limits.region_bytes, 4096);
    assert_int_equal(limits.max[QUOTA_BYTES], QUOTA_UNLIMITED);
    must_unset(&f, "group:+77", NULL);
    assert_false(config_group_limits(f.files.config, 77, GIB, &limits));
    layer_deinit(&f);
}

static void the_layer_survives_restarts_and_reloads_of_changed_files(void **state)
{
    struct layer_fixture f;

    (void)state;
    layer_init(&f, "[quota user:+5]\nbytes = 1G\n");
    must_set(&f, "user:+5", "bytes", "256M");
    must_set(&f, "default", "warn_at", "50%");
    must_set(&f, "user:DOMAIN\\some one", "regions", "7");
    write_main(&f.files, "[quota user:+5]\nbytes = 2G\nregions = 4\n");
    save_and_load_again(&f);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], 256 * MIB);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_REGIONS], 4);
    assert_int_equal(limits_of(&f, 5, 77).warn_bytes, 128 * MIB);
    assert_string_equal(describe(&f, "user:DOMAIN\\some one", CONFIG_QUOTA_REGIONS).text, "7");
    assert_string_equal(describe(&f, "user:DOMAIN\\some one", CONFIG_QUOTA_REGIONS).origin, "set at run time");
    must_unset(&f, "user:+5", NULL);
    must_unset(&f, "user:DOMAIN\\some one", "regions");
    save_and_load_again(&f);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], 2 * GIB);
    assert_null(subject(&f, "user:DOMAIN\\some one"));
    assert_int_equal(limits_of(&f, 9, 77).warn_bytes, 25 * GIB);
    layer_deinit(&f);
}

static void each_value_tells_its_text_and_where_it_comes_from(void **state)
{
    struct layer_fixture f;
    char origin[400];

    (void)state;
    layer_init(&f, "[quota user:+5]\n\nbytes = 1024M\n[quota total]\nregions = 3\n");
    snprintf(origin, sizeof(origin), "%s:3", f.files.path);
    assert_string_equal(describe(&f, "user:+5", CONFIG_QUOTA_BYTES).origin, origin);
    assert_string_equal(describe(&f, "user:+5", CONFIG_QUOTA_BYTES).text, "1024M");
    assert_string_equal(describe(&f, "user:+5", CONFIG_QUOTA_BYTES).key, "bytes");
    assert_string_equal(describe(&f, "user:+5", CONFIG_QUOTA_REGIONS).origin, "");
    must_set(&f, "user:+5", "bytes", "2%");
    assert_string_equal(describe(&f, "user:+5", CONFIG_QUOTA_BYTES).origin, "set at run time");
    assert_int_equal(describe(&f, "user:+5", CONFIG_QUOTA_BYTES).value, 20 * GIB);
    assert_string_equal(describe(&f, "total", CONFIG_QUOTA_BYTES).origin, "built in");
    assert_string_equal(describe(&f, "total", CONFIG_QUOTA_BYTES).text, "80%");
    assert_int_equal(describe(&f, "total", CONFIG_QUOTA_BYTES).value, 800 * GIB);
    assert_string_equal(describe(&f, "total", CONFIG_QUOTA_REGION_BYTES).text, "unlimited");
    assert_int_equal(describe(&f, "default", CONFIG_QUOTA_WARN_AT).value, 40 * GIB);
    snprintf(origin, sizeof(origin), "%s:5", f.files.path);
    assert_string_equal(describe(&f, "total", CONFIG_QUOTA_REGIONS).origin, origin);
    layer_deinit(&f);
}

static void a_mistake_in_one_of_several_settings_changes_nothing(void **state)
{
    const char *const keys[] = {"bytes", "regions"}, *const texts[] = {"1G", "many"};
    struct layer_fixture f;
    size_t n;

    (void)state;
    layer_init(&f, "");
    n = f.files.config->n_subjects;
    assert_int_equal(change(&f, "user:+5", keys, texts, 2), -EINVAL);
    assert_string_equal(f.files.error, "regions = many: it has to be a whole number or unlimited");
    assert_int_equal(f.files.config->n_subjects, n);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], 50 * GIB);
    layer_deinit(&f);
}

static void wrong_settings_are_refused_with_a_sentence(void **state)
{
    static char long_subject[300] = "user:";
    static const struct {
        const char *subject, *key, *text, *says;
    } cases[] = {
        {"", "bytes", "1", "a quota is of total"},
        {"users:alice", "bytes", "1", "users:alice: a quota is of total"},
        {"user:", "bytes", "1", "user:: a quota is of"},
        {"user:+", "bytes", "1", "user:+: a quota is of"},
        {"user:+4294967295", "bytes", "1", "a quota is of"},
        {"total ", "bytes", "1", "a quota is of"},
        {"daemon", "bytes", "1", "a quota is of"},
        {"user:a]b", "bytes", "1", "a subject can't have"},
        {"user:a\n[daemon]", "bytes", "1", "what was sent: a subject can't have"},
        {"user:a\n", "bytes", "1", "a subject can't have"},
        {"user:\xff", "bytes", "1", "what was sent: a subject can't have"},
        {"user:a #b", "bytes", "1", "a subject can't have"},
        {long_subject, "bytes", "1", "at most 271 bytes"},
        {"total", "byte", "1", "byte is no key of a quota"},
        {"total", "", "1", " is no key of a quota"},
        {"total", "bytes\n", "1", "what was sent is no key"},
        {"total", "keep_free", "1", "keep_free is no key of a quota"},
        {"total", "bytes", "", "it has no value"},
        {"total", "bytes", "-1", "bytes = -1: it has to be a whole number"},
        {"total", "bytes", " 1", "it has to be a whole number"},
        {"total", "bytes", "1\nregions = 5", "bytes = what was sent: "},
        {"total", "bytes", "1.5G", "bytes = 1.5G: it has to be a whole number"},
        {"total", "bytes", "16777216T", "more than any"},
        {"total", "bytes", "99999999999999999999999", "more than any"},
        {"total", "bytes", "101%", "bytes = 101%: a percentage"},
        {"total", "regions", "5%", "regions = 5%: it has to be a whole number"},
        {"total", "regions", "18446744073709551616", "it has to be a whole number"},
        {"total", "bytes", "00000000000000000000000000000000000000000000000000000000000000000000", "too long"},
    };
    struct layer_fixture f;
    char *before, *after;

    (void)state;
    memset(long_subject + 5, 'n', 267);
    layer_init(&f, "");
    before = config_render_runtime(f.files.config, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (set(&f, cases[i].subject, cases[i].key, cases[i].text) != -EINVAL)
            fail_msg("accepted: %s %s=%s", cases[i].subject, cases[i].key, cases[i].text);
        if (!strstr(f.files.error, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", f.files.error, cases[i].says);
    }
    after = config_render_runtime(f.files.config, NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    layer_deinit(&f);
}

static void a_key_twice_and_no_key_at_all_are_refused(void **state)
{
    const char *const keys[] = {"bytes", "bytes"}, *const texts[] = {"1G", "1G"};
    struct layer_fixture f;

    (void)state;
    layer_init(&f, "");
    assert_int_equal(change(&f, "total", keys, texts, 2), -EINVAL);
    assert_string_equal(f.files.error, "bytes is there twice");
    assert_int_equal(change(&f, "total", keys, texts, 0), -EINVAL);
    assert_string_equal(f.files.error, "there is nothing to set");
    layer_deinit(&f);
}

static void unsetting_what_is_not_set_is_fine_and_a_wrong_key_is_not(void **state)
{
    const char *const keys[] = {"bytes", "files"};
    struct layer_fixture f;
    size_t n;

    (void)state;
    layer_init(&f, "");
    n = f.files.config->n_subjects;
    must_unset(&f, "user:no-such-user", "bytes");
    must_unset(&f, "total", NULL);
    assert_int_equal(f.files.config->n_subjects, n);
    must_set(&f, "total", "bytes", "1G");
    assert_int_equal(change(&f, "total", keys, NULL, 2), -EINVAL);
    assert_non_null(strstr(f.files.error, "files is no key"));
    assert_string_equal(describe(&f, "total", CONFIG_QUOTA_BYTES).text, "1G");
    layer_deinit(&f);
}

static void unknown_names_and_zeros_are_accepted_with_a_warning(void **state)
{
    struct layer_fixture f;

    (void)state;
    layer_init(&f, "");
    must_set(&f, "user:no-such-user", "bytes", "1G");
    assert_string_equal(f.files.warnings,
                        "user:no-such-user names an unknown user, and means nothing until there is one\n");
    f.files.warnings[0] = '\0';
    must_set(&f, "members:no-such-group", "warn_at", "0");
    assert_string_equal(f.files.warnings,
                        "members:no-such-group names an unknown group, and means nothing until there is one\n");
    f.files.warnings[0] = '\0';
    must_set(&f, "user:+5", "regions", "0");
    assert_string_equal(f.files.warnings, "user:+5 regions = 0: nothing is allowed; write unlimited for no limit\n");
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_REGIONS], 0);
    layer_deinit(&f);
}

static void a_name_and_its_number_are_one_subject(void **state)
{
    struct layer_fixture f;

    (void)state;
    layer_init(&f, "[quota user:root]\nbytes = 1G\n");
    must_set(&f, "user:+0", "bytes", "2G");
    assert_int_equal(limits_of(&f, 0, 77).max[QUOTA_BYTES], 2 * GIB);
    assert_string_equal(describe(&f, "user:root", CONFIG_QUOTA_BYTES).text, "2G");
    assert_null(subject(&f, "user:+0"));
    must_unset(&f, "user:root", "bytes");
    assert_int_equal(limits_of(&f, 0, 77).max[QUOTA_BYTES], GIB);
    layer_deinit(&f);
}

static void a_change_that_is_prepared_holds_only_when_it_is_applied(void **state)
{
    static const char *const subjects[] = {"user:+5", "user:+6"}, *const key = "bytes", *const text = "3G";
    struct layer_fixture f;

    (void)state;
    layer_init(&f, "[quota user:+5]\nbytes = 1G\n[quota user:+6]\nbytes = 1G\n");
    must_set(&f, "user:+5", "regions", "8");
    for (int apply = 0; apply < 2; apply++) {
        struct config_change change;
        char *rendered;

        assert_int_equal(config_change_prepare(&change, f.files.config, subjects[apply], &key, &text, 1, warn, &f.files,
                                               &f.files.error),
                         0);
        rendered = config_render_runtime(f.files.config, &change);
        assert_non_null(rendered);
        assert_non_null(
            strstr(rendered, apply ? "[quota user:+6]\nbytes = 3G\n" : "[quota user:+5]\nbytes = 3G\nregions = 8\n"));
        free(rendered);
        assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], GIB);
        assert_int_equal(limits_of(&f, 6, 77).max[QUOTA_BYTES], GIB);
        if (apply)
            config_change_apply(&change);
        config_change_deinit(&change);
    }
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_BYTES], GIB);
    assert_int_equal(limits_of(&f, 5, 77).max[QUOTA_REGIONS], 8);
    assert_int_equal(limits_of(&f, 6, 77).max[QUOTA_BYTES], 3 * GIB);
    layer_deinit(&f);
}

static void the_file_has_the_syntax_of_the_configuration_and_nothing_else_is_left(void **state)
{
    struct layer_fixture f;
    char path[400], text[400] = "", *comments;
    FILE *file;

    (void)state;
    layer_init(&f, "");
    snprintf(path, sizeof(path), "%s/.quota.new", f.files.dir);
    write_bytes(path, "half", 4);
    must_set(&f, "user:+5", "bytes", "256M");
    must_set(&f, "user:+5", "regions", "unlimited");
    save_and_load_again(&f);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "%s/.quota", f.files.dir);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    // The rest are comments, with times: see merge.c.
    comments = strstr(text, "\n# When");
    assert_non_null(comments);
    *comments++ = '\0';
    assert_string_equal(text, "# Set by diskallocctl quota; diskallocd replaces this file.\n"
                              "\n[quota user:+5]\nbytes = 256M\nregions = unlimited\n");
    for (char *line = comments; *line; line = strchr(line, '\n') + 1)
        assert_int_equal(*line, '#');
    assert_non_null(strstr(comments, "Z user:+5 bytes = 256M\n"));
    assert_non_null(strstr(comments, "Z user:+5 regions = unlimited\n"));
    layer_deinit(&f);
}

static void a_damaged_file_is_refused_with_file_and_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } cases[] = {
        {"[quota total]\nbytes = 5X\n", 2},
        {"\n[daemon]\nsocket = /a\n", 2},
        {"bytes = 1\n", 1},
        {"[quota total]\nbytes = 1\nbytes = 2\n", 3},
    };
    struct layer_fixture f;
    char path[400], where[500];

    (void)state;
    layer_init(&f, "");
    snprintf(path, sizeof(path), "%s/.quota", f.files.dir);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_bytes(path, cases[i].text, strlen(cases[i].text));
        assert_int_equal(load(&f.files), 0);
        assert_int_equal(config_load_runtime(f.files.config, f.dir, f.files.dir, NULL, NULL, &f.files.error), -EINVAL);
        snprintf(where, sizeof(where), "%s:%u: ", path, cases[i].line);
        if (strncmp(f.files.error, where, strlen(where)) != 0)
            fail_msg("\"%s\" does not begin with \"%s\"", f.files.error, where);
        assert_non_null(strstr(f.files.error, "; mend the file, or move it away: "));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(load(&f.files), 0);
    assert_int_equal(config_load_runtime(f.files.config, f.dir, f.files.dir, NULL, NULL, &f.files.error), -ELOOP);
    layer_deinit(&f);
}

static void what_is_no_file_of_quotas_is_refused_with_its_name_and_a_remedy(void **state)
{
    static const struct {
        const char *how;
        int error;
    } cases[] = {{"mkdir", -EISDIR}, {"mkfifo", -EINVAL}, {"ln -s /dev/null", -ELOOP}};
    struct layer_fixture f;
    char command[500];

    (void)state;
    layer_init(&f, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(command, sizeof command, "%s %s/.quota", cases[i].how, f.files.dir);
        assert_int_equal(system(command), 0);
        assert_int_equal(load(&f.files), 0);
        assert_int_equal(config_load_runtime(f.files.config, f.dir, f.files.dir, NULL, NULL, &f.files.error),
                         cases[i].error);
        assert_non_null(f.files.error);
        assert_non_null(strstr(f.files.error, "/.quota can't be opened: "));
        assert_non_null(strstr(f.files.error, "; mend the file, or move it away: "));
        snprintf(command, sizeof command, "rm -r %s/.quota", f.files.dir);
        assert_int_equal(system(command), 0);
    }
    layer_deinit(&f);
}

static void names_that_have_become_one_users_are_merged_when_the_file_is_read(void **state)
{
    struct layer_fixture f;
    const char *text = "[quota user:root]\nbytes = 1G\n[quota user:+0]\nregions = 2\n";
    char path[400];

    (void)state;
    layer_init(&f, "");
    snprintf(path, sizeof(path), "%s/.quota", f.files.dir);
    write_bytes(path, text, strlen(text));
    assert_int_equal(config_load_runtime(f.files.config, f.dir, f.files.dir, NULL, NULL, &f.files.error), 0);
    assert_int_equal(limits_of(&f, 0, 77).max[QUOTA_BYTES], GIB);
    assert_int_equal(limits_of(&f, 0, 77).max[QUOTA_REGIONS], 2);
    layer_deinit(&f);
}

static void a_hundred_thousand_subjects_are_all_found(void **state)
{
    enum { N = 100000 };
    struct layer_fixture f;
    char name[32], bytes[32];

    (void)state;
    layer_init(&f, "");
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "user:+%u", 1000 + 7 * i);
        snprintf(bytes, sizeof(bytes), "%u", i);
        must_set(&f, name, "bytes", bytes);
        f.files.warnings[0] = '\0';
    }
    save_and_load_again(&f);
    must_unset(&f, "user:+1000", NULL);
    for (unsigned i = 0; i < N; i++)
        if (limits_of(&f, 1000 + 7 * i, 77).max[QUOTA_BYTES] != (i ? i : 50 * GIB))
            fail_msg("user:+%u has another limit", 1000 + 7 * i);
    assert_int_equal(limits_of(&f, 1001, 77).max[QUOTA_BYTES], 50 * GIB);
    layer_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_set_wins_over_the_files_key_by_key),
        TEST(each_kind_of_subject_can_be_set),
        TEST(the_layer_survives_restarts_and_reloads_of_changed_files),
        TEST(each_value_tells_its_text_and_where_it_comes_from),
        TEST(a_mistake_in_one_of_several_settings_changes_nothing),
        TEST(wrong_settings_are_refused_with_a_sentence),
        TEST(a_key_twice_and_no_key_at_all_are_refused),
        TEST(unsetting_what_is_not_set_is_fine_and_a_wrong_key_is_not),
        TEST(unknown_names_and_zeros_are_accepted_with_a_warning),
        TEST(a_name_and_its_number_are_one_subject),
        TEST(a_change_that_is_prepared_holds_only_when_it_is_applied),
        TEST(the_file_has_the_syntax_of_the_configuration_and_nothing_else_is_left),
        TEST(a_damaged_file_is_refused_with_file_and_line),
        TEST(what_is_no_file_of_quotas_is_refused_with_its_name_and_a_remedy),
        TEST(names_that_have_become_one_users_are_merged_when_the_file_is_read),
        TEST(a_hundred_thousand_subjects_are_all_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
