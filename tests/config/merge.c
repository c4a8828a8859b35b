// Quotas set at run time that lie on two disks: when each was set, and which of two changes holds.
#include "tests/lib/config_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/runtime.h"

#define AT(second) "# 2020-01-01T00:00:0" second ".000Z "

enum { FILE_TIME = 1577836800 + 5 }; // 2020-01-01T00:00:05Z, in seconds

struct places {
    struct config_fixture files;
    char ours[300], theirs[300]; // directories
};

static void init(struct places *p)
{
    config_fixture_init(&p->files);
    snprintf(p->ours, sizeof p->ours, "%s/ours", p->files.dir);
    snprintf(p->theirs, sizeof p->theirs, "%s/theirs", p->files.dir);
    assert_int_equal(mkdir(p->ours, 0700), 0);
    assert_int_equal(mkdir(p->theirs, 0700), 0);
    load_text(&p->files, "");
}

static void deinit(struct places *p)
{
    config_fixture_deinit(&p->files);
}

static void write_layer(const char *dir, const char *text)
{
    const struct timespec times[] = {{.tv_sec = FILE_TIME}, {.tv_sec = FILE_TIME}};
    char path[400];

    snprintf(path, sizeof path, "%s/.quota", dir);
    write_bytes(path, text, strlen(text));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void load_layer(struct places *p)
{
    int fd = open(p->ours, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(load(&p->files), 0);
    if (config_load_runtime(p->files.config, fd, p->ours, NULL, NULL, &p->files.error) < 0)
        fail_msg("%s", p->files.error);
    close(fd);
}

static unsigned merge(struct places *p)
{
    int fd = open(p->theirs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool has_later;
    unsigned n;

    if (config_has_later(p->files.config, fd, p->theirs, &has_later, &p->files.error) < 0)
        fail_msg("%s", p->files.error);
    if (config_merge_runtime(p->files.config, fd, p->theirs, NULL, NULL, &n, &p->files.error) < 0)
        fail_msg("%s", p->files.error);
    assert_int_equal(has_later, n > 0);
    close(fd);
    return n;
}

// Sections without comments, and then the comments with a time: *RET_TIMES.  The caller frees the returned text.
static char *render(const struct config *c, char **ret_times)
{
    char *text = config_render_runtime(c, NULL), *comment;

    assert_non_null(text);
    comment = strstr(text, "\n# When");
    assert_non_null(comment);
    *comment = '\0';
    *ret_times = strchr(comment + 1, '\n') + 1;
    memmove(text, strchr(text, '\n') + 1, strlen(strchr(text, '\n')));
    return text;
}

static void expect(const struct config *c, const char *sections, const char *times)
{
    char *found_times, *found = render(c, &found_times);

    assert_string_equal(found, sections);
    if (times)
        assert_string_equal(found_times, times);
    free(found);
}

static void the_later_change_of_each_key_holds(void **state)
{
    static const struct {
        const char *ours, *theirs, *sections;
        unsigned n;
    } cases[] = {
        // one of them only
        {"", "[quota user:+5]\nbytes = 1G\n" AT("1") "user:+5 bytes = 1G\n", "\n[quota user:+5]\nbytes = 1G\n", 1},
        {"[quota user:+5]\nbytes = 1G\n" AT("1") "user:+5 bytes = 1G\n", "", "\n[quota user:+5]\nbytes = 1G\n", 0},
        // both
        {"[quota user:+5]\nbytes = 1G\n" AT("1") "user:+5 bytes = 1G\n",
         "[quota user:+5]\nbytes = 2G\n" AT("2") "user:+5 bytes = 2G\n", "\n[quota user:+5]\nbytes = 2G\n", 1},
        {"[quota user:+5]\nbytes = 1G\n" AT("2") "user:+5 bytes = 1G\n",
         "[quota user:+5]\nbytes = 2G\n" AT("1") "user:+5 bytes = 2G\n", "\n[quota user:+5]\nbytes = 1G\n", 0},
        {"[quota user:+5]\nbytes = 1G\nregions = 5\n" AT("2") "user:+5 bytes = 1G\n" AT("1") "user:+5 regions = 5\n",
         "[quota user:+5]\nbytes = 2G\nregions = 6\n" AT("1") "user:+5 bytes = 2G\n" AT("2") "user:+5 regions = 6\n",
         "\n[quota user:+5]\nbytes = 1G\nregions = 6\n", 1},
        // unset here, and there
        {AT("2") "user:+5 bytes unset\n", "[quota user:+5]\nbytes = 2G\n" AT("1") "user:+5 bytes = 2G\n", "", 0},
        {AT("1") "user:+5 bytes unset\n", "[quota user:+5]\nbytes = 2G\n" AT("2") "user:+5 bytes = 2G\n",
         "\n[quota user:+5]\nbytes = 2G\n", 1},
        {"[quota user:+5]\nbytes = 1G\n" AT("1") "user:+5 bytes = 1G\n", AT("2") "user:+5 bytes unset\n", "", 1},
        {"[quota user:+5]\nbytes = 1G\n" AT("2") "user:+5 bytes = 1G\n", AT("1") "user:+5 bytes unset\n",
         "\n[quota user:+5]\nbytes = 1G\n", 0},
        {"", AT("2") "user:+5 bytes unset\n", "", 1}, // an older copy on a third disk may still have it
        {AT("2") "group:a = b bytes unset\n", "[quota group:a = b]\nbytes = 2G\n" AT("1") "group:a = b bytes = 2G\n",
         "", 0},
        {"[quota total]\nregions = 9\n" AT("1") "total regions = 9\n", AT("2") "total regions unset\n", "", 1},
        // one user under two names
        {"[quota user:root]\nbytes = 1G\n" AT("1") "user:root bytes = 1G\n",
         "[quota user:+0]\nbytes = 2G\n" AT("2") "user:+0 bytes = 2G\n", "\n[quota user:root]\nbytes = 2G\n", 1},
        {"[quota user:root]\nbytes = 1G\n" AT("1") "user:root bytes = 1G\n", AT("2") "user:+0 bytes unset\n", "", 1},
        {AT("3") "user:root bytes unset\n", "[quota user:+0]\nbytes = 2G\n" AT("2") "user:+0 bytes = 2G\n", "", 0},
        // without times, as of when the file was changed, which was at 5
        {"[quota user:+5]\nbytes = 1G\n" AT("4") "user:+5 bytes = 1G\n", "[quota user:+5]\nbytes = 2G\n",
         "\n[quota user:+5]\nbytes = 2G\n", 1},
        {"[quota user:+5]\nbytes = 1G\n" AT("6") "user:+5 bytes = 1G\n", "[quota user:+5]\nbytes = 2G\n",
         "\n[quota user:+5]\nbytes = 1G\n", 0},
        // edited: the comment is of another value, or of none
        {"[quota user:+5]\nbytes = 1G\n" AT("6") "user:+5 bytes = 3G\n",
         "[quota user:+5]\nbytes = 2G\n" AT("6") "user:+5 bytes = 2G\n", "\n[quota user:+5]\nbytes = 2G\n", 1},
        {AT("1") "user:+5 bytes = 3G\n", "[quota user:+5]\nbytes = 2G\n" AT("4") "user:+5 bytes = 2G\n", "", 0},
    };
    struct places p;

    (void)state;
    init(&p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned n;

        write_layer(p.ours, cases[i].ours);
        write_layer(p.theirs, cases[i].theirs);
        load_layer(&p);
        n = merge(&p);
        if (n != cases[i].n)
            fail_msg("case %zu: %u keys have changed", i, n);
        expect(p.files.config, cases[i].sections, NULL);
        assert_int_equal(merge(&p), 0); // again
        expect(p.files.config, cases[i].sections, NULL);
    }
    deinit(&p);
}

static void times_are_those_of_the_changes_that_hold(void **state)
{
    static const char times[] =
        AT("1") "default regions = 7\n" AT("3") "user:some one here bytes = 2G\n" AT("4") "user:+6 warn_at unset\n";
    static const char sections[] = "\n[quota default]\nregions = 7\n\n[quota user:some one here]\nbytes = 2G\n";
    struct places p;
    char *text;

    (void)state;
    init(&p);
    write_layer(
        p.ours,
        "[quota default]\nregions = 7\n[quota user:some one here]\nbytes = 1G\n" AT("1") "default regions = 7\n" AT(
            "2") "user:some one here bytes = 1G\n" AT("1") "user:+6 warn_at unset\n");
    write_layer(p.theirs, "[quota user:some one here]\nbytes = 2G\n" AT("3") "user:some one here bytes = 2G\n" AT(
                              "4") "user:+6 warn_at unset\n");
    load_layer(&p);
    assert_int_equal(merge(&p), 2);
    expect(p.files.config, sections, times);
    // The same from its own file, and from memory.
    text = config_render_runtime(p.files.config, NULL);
    write_layer(p.ours, text);
    load_layer(&p);
    expect(p.files.config, sections, times);
    assert_int_equal(load(&p.files), 0);
    assert_int_equal(config_parse_runtime(p.files.config, text, &p.files.error), 0);
    expect(p.files.config, sections, times);
    free(text);
    deinit(&p);
}

static void the_longest_subject_has_a_time_too(void **state)
{
    static const char *const key = "region_bytes", *const text = "12345678901234567890";
    char subject[272] = "user:", expected[400];
    struct config_change change;
    struct places p;
    char *rendered;

    (void)state;
    init(&p);
    memset(subject + 5, 'n', sizeof subject - 6);
    assert_int_equal(config_make_room(p.files.config), 0);
    assert_int_equal(
        config_change_prepare(&change, p.files.config, subject, &key, &text, 1, NULL, NULL, &p.files.error), 0);
    config_change_apply(&change);
    config_change_deinit(&change);
    rendered = config_render_runtime(p.files.config, NULL);
    snprintf(expected, sizeof expected, "Z %s region_bytes = %s\n", subject, text);
    assert_non_null(strstr(rendered, expected));
    write_layer(p.ours, rendered);
    free(rendered);
    load_layer(&p);
    assert_int_equal(merge(&p), 0);
    deinit(&p);
}

// The clock may have been set back, or be ahead on another machine that the disk comes from.
static void a_change_is_later_than_all_that_are_known(void **state)
{
    static const char *const key = "bytes", *const text = "4G";
    struct config_change change;
    struct places p;

    (void)state;
    init(&p);
    write_layer(p.ours, "[quota user:+5]\nbytes = 1G\n# 2199-12-31T23:59:59.999Z user:+5 bytes = 1G\n");
    load_layer(&p);
    assert_int_equal(
        config_change_prepare(&change, p.files.config, "user:+5", &key, &text, 1, NULL, NULL, &p.files.error), 0);
    config_change_apply(&change);
    config_change_deinit(&change);
    expect(p.files.config, "\n[quota user:+5]\nbytes = 4G\n", "# 2200-01-01T00:00:00.000Z user:+5 bytes = 4G\n");
    deinit(&p);
}

static void comments_that_are_no_times_mean_nothing(void **state)
{
    static const char *const comments[] = {
        "#",
        "# ",
        "# 2020",
        AT("1"),
        AT("1") "user:+5",
        AT("1") "unset",
        AT("1") " unset",
        AT("1") "user:+5 unset",
        AT("1") "user:+5 byte unset",
        AT("1") "= 5",
        AT("1") " = ",
        AT("1") "bytes = 5",
        AT("1") "nobody bytes = 5",
        "# 1960-01-01T00:00:00.000Z user:+5 bytes unset",
        "# 2020-01-01T00:00:01.000 user:+5 bytes unset",
    };
    struct places p;

    (void)state;
    init(&p);
    for (size_t i = 0; i < sizeof comments / sizeof *comments; i++) {
        char text[300];

        snprintf(text, sizeof text, "%s\n[quota user:+5]\nbytes = 1G\n%s", comments[i], comments[i]);
        write_layer(p.ours, text);
        load_layer(&p);
        expect(p.files.config, "\n[quota user:+5]\nbytes = 1G\n", NULL);
    }
    deinit(&p);
}

static void very_many_keys_that_were_unset_do_not_fill_the_file(void **state)
{
    static const char *const key = "bytes";
    enum { N = 3000, MOST = 1000 };
    char name[32], *text, *last;
    struct places p;
    size_t n = 0;

    (void)state;
    init(&p);
    for (unsigned i = 0; i < N; i++) {
        struct config_change change;

        snprintf(name, sizeof name, "user:+%u", i);
        assert_int_equal(config_make_room(p.files.config), 0);
        assert_int_equal(
            config_change_prepare(&change, p.files.config, name, &key, NULL, 1, NULL, NULL, &p.files.error), 0);
        config_change_apply(&change);
        config_change_deinit(&change);
    }
    text = config_render_runtime(p.files.config, NULL);
    for (char *at = text; (at = strstr(at, "bytes unset\n")); at++)
        n++;
    assert_int_equal(n, MOST);
    last = strstr(text, "user:+2999 bytes unset");
    assert_non_null(last);
    assert_null(strstr(text, "user:+1999 bytes unset"));
    free(text);
    deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_later_change_of_each_key_holds),      TEST(times_are_those_of_the_changes_that_hold),
        TEST(the_longest_subject_has_a_time_too),      TEST(a_change_is_later_than_all_that_are_known),
        TEST(comments_that_are_no_times_mean_nothing), TEST(very_many_keys_that_were_unset_do_not_fill_the_file),
    };

    return cmocka_run_group_tests_name("config-merge", tests, NULL, NULL);
}
