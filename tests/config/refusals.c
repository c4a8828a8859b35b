// Every way to write a wrong configuration, with the words of the refusal.
#include "tests/lib/config_fixture.h"

#define NAME_10 "nnnnnnnnnn"
#define NAME_100 NAME_10 NAME_10 NAME_10 NAME_10 NAME_10 NAME_10 NAME_10 NAME_10 NAME_10 NAME_10

static void a_refusal_names_file_line_and_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *says[3];
    } cases[] = {
        {"[daemon]\n\nsokcet = /a\n", 3, {"sokcet", "no known key", "[daemon]"}},
        {"[deamon]\n", 1, {"[deamon]", "no known section"}},
        {"[quota total]\nfiles = 3\n", 2, {"files", "no known key", "[quota total]"}},
        {"[daemon]\nbytes = 3\n", 2, {"bytes", "no known key"}},
        {"[quota user:]\nbytes = 1\n", 1, {"[quota user:]", "no known section"}},
        {"[quota users:alice]\n", 1, {"[quota users:alice]"}},
        {"[quota user:+]\n", 1, {"[quota user:+]"}},
        {"[quota user:+12x]\n", 1, {"[quota user:+12x]"}},
        {"[quota user:+4294967295]\n", 1, {"[quota user:+4294967295]"}},
        {"[quota]\n", 1, {"[quota]"}},
        {"[quota  total]\n", 1, {"[quota  total]"}},
        {"[ daemon]\n", 1, {"[ daemon]"}},
        {"[]\n", 1, {"[]"}},
        {"[daemon\nsocket = /a\n", 1, {"[daemon", "[NAME]"}},
        {"[daemon] x\n", 1, {"nothing behind it"}},
        {"[daemon]]\n", 1, {"nothing behind it"}},
        {"[daemon] ; why\n", 1, {"comment", "line of its own"}},
        {"[daemon]\nsocket = /a ; why\n", 2, {"socket", "comment", "line of its own"}},
        {"[daemon]\nsocket = /a # why\n", 2, {"socket", "comment"}},
        {"[quota total]\nbytes = 5G;why\n", 2, {"bytes", "5G;why"}},
        {"socket = /a\n", 1, {"socket", "before any section"}},
        {"[daemon]\nsocket\n", 2, {"socket", "KEY = VALUE"}},
        {"[daemon]\nsocket: /a\n", 2, {"socket", "KEY = VALUE"}},
        {"[daemon]\n= /a\n", 2, {"KEY = VALUE"}},
        {"[daemon]\nsocket =\n", 2, {"socket", "no value"}},
        {"[daemon]\nsocket = run/sock\n", 2, {"socket", "absolute"}},
        {"[daemon]\nspill_dir = spill\n", 2, {"spill_dir", "absolute"}},
        {"[daemon]\nsocket = /sixteen-letters-/sixteen-letters-/sixteen-letters-/sixteen-letters-/sixteen-letters-"
         "/sixteen-letters-/12345\n",
         2,
         {"socket", "107 bytes"}},
        {"[daemon]\nsocket_mode = 0888\n", 2, {"socket_mode", "octal"}},
        {"[daemon]\nsocket_mode = 01000\n", 2, {"socket_mode", "0777"}},
        {"[daemon]\nsocket_mode = rw\n", 2, {"socket_mode", "octal"}},
        {"[daemon]\nsocket_mode = -1\n", 2, {"socket_mode", "octal"}},
        {"[daemon]\nspill_dir_require_mount = maybe\n", 2, {"spill_dir_require_mount", "yes or no"}},
        {"[daemon]\nfence = yes\n", 2, {"fence", "auto, landlock, passthrough or off"}},
        {"[daemon]\nfence = fuse\n", 2, {"fence", "auto, landlock, passthrough or off"}},
        {"[daemon]\nkeep_free = unlimited\n", 2, {"keep_free"}},
        {"[daemon]\nkeep_free = 101%\n", 2, {"keep_free", "100%"}},
        {"[daemon]\nmetrics_listen = 0.0.0.0:9464\n", 2, {"metrics_listen = 0.0.0.0:9464", "this machine only"}},
        {"[daemon]\nmetrics_listen = [::]:9464\n", 2, {"metrics_listen", "this machine only"}},
        {"[daemon]\nmetrics_listen = example.org:9464\n", 2, {"metrics_listen", "this machine only"}},
        {"[daemon]\nmetrics_listen = localhost.example.org:9464\n", 2, {"metrics_listen", "this machine only"}},
        {"[daemon]\nmetrics_listen = 128.0.0.1:9464\n", 2, {"metrics_listen", "this machine only"}},
        {"[daemon]\nmetrics_listen = 127.1:9464\n", 2, {"metrics_listen", "this machine only"}},
        {"[daemon]\nmetrics_listen = :9464\n", 2, {"metrics_listen", "this machine only"}},
        {"[daemon]\nmetrics_listen = localhost\n", 2, {"metrics_listen", "HOST:PORT"}},
        {"[daemon]\nmetrics_listen = localhost:65536\n", 2, {"metrics_listen", "HOST:PORT"}},
        {"[daemon]\nmetrics_listen = localhost:http\n", 2, {"metrics_listen", "HOST:PORT"}},
        {"[daemon]\nmetrics_listen = run/metrics.sock\n", 2, {"metrics_listen", "absolute path"}},
        {"[daemon]\nmetrics_listen = /sixteen-letters-/sixteen-letters-/sixteen-letters-/sixteen-letters-"
         "/sixteen-letters-/sixteen-letters-/12345\n",
         2,
         {"metrics_listen", "107 bytes"}},
        {"[daemon]\nmetrics_listen =\n", 2, {"metrics_listen", "no value"}},
        {"[daemon]\nmetrics_socket_mode = 0888\n", 2, {"metrics_socket_mode", "octal"}},
        {"[daemon]\nspill_dir = /a\nspill_dir = /b\nspill_dir = /a//\n", 4, {"spill_dir = /a//", "there twice"}},
        {"[daemon]\nspill_dir = /a\nspill_dir = //a\n", 3, {"spill_dir = //a", "there twice"}},
        {"[daemon]\nspill_dir = /a\nspill_dir = b\n", 3, {"spill_dir", "absolute"}},
        {"[disk]\n", 1, {"[disk]", "no known section"}},
        {"[disk spill]\n", 1, {"[disk spill]", "absolute path of a spill_dir"}},
        {"[disk /a]\n[disk /b]\n[disk /a/]\n", 3, {"[disk /a/]", "already", "line 1"}},
        {"[disk /a]\nbytes = 3G\n", 2, {"bytes", "no known key", "[disk /a]"}},
        {"[disk /a]\nkeep_free = unlimited\n", 2, {"keep_free"}},
        {"[disk /a]\nkeep_free = 5%\nkeep_free = 6%\n", 3, {"keep_free", "already", "line 2"}},
        {"[disk /a]\nrequire_mount = perhaps\n", 2, {"require_mount", "yes or no"}},
        {"[disk /a]\nnew_regions = never\n", 2, {"new_regions", "yes or no"}},
        {"[disk /a]\nusers =\n", 2, {"users", "no value"}},
        {"[disk /a]\nusers = alice, bob\n", 2, {"users", "blanks in between"}},
        {"[disk /a]\nusers = alice +x\n", 2, {"users", "+UID"}},
        {"[disk /a]\nmin_bytes = 5%\n", 2, {"min_bytes", "K, M, G or T"}},
        {"[quota total]\nmetrics_listen = 5\n", 2, {"metrics_listen", "no known key", "[quota total]"}},
        {"[quota total]\nbytes = 5X\n", 2, {"bytes = 5X", "K, M, G or T"}},
        {"[quota total]\nbytes = 5 G\n", 2, {"bytes = 5 G", "K, M, G or T"}},
        {"[quota total]\nbytes = 5GB\n", 2, {"bytes = 5GB"}},
        {"[quota total]\nbytes = 1.5G\n", 2, {"bytes = 1.5G"}},
        {"[quota total]\nbytes = 0x10\n", 2, {"bytes = 0x10"}},
        {"[quota total]\nbytes = -5\n", 2, {"bytes = -5"}},
        {"[quota total]\nbytes = +5\n", 2, {"bytes = +5"}},
        {"[quota total]\nbytes = G\n", 2, {"bytes = G"}},
        {"[quota total]\nbytes = %\n", 2, {"bytes = %", "percentage"}},
        {"[quota total]\nbytes = 101%\n", 2, {"bytes = 101%", "100%"}},
        {"[quota total]\nbytes = -1%\n", 2, {"bytes = -1%", "percentage"}},
        {"[quota total]\nbytes = 5.5%\n", 2, {"bytes = 5.5%", "percentage"}},
        {"[quota total]\nbytes = 5%%\n", 2, {"bytes = 5%%", "percentage"}},
        {"[quota total]\nbytes = 123456789012%\n", 2, {"bytes", "percentage"}},
        {"[quota total]\nbytes = Unlimited\n", 2, {"bytes = Unlimited"}},
        {"[quota total]\nbytes = 16777216T\n", 2, {"bytes = 16777216T", "more than any"}},
        {"[quota total]\nbytes = 18446744073709551615\n", 2, {"bytes", "more than any"}},
        {"[quota total]\nbytes = 99999999999999999999999\n", 2, {"bytes", "more than any"}},
        {"[quota total]\nregions = 10%\n", 2, {"regions = 10%", "whole number"}},
        {"[quota total]\nregions = 1K\n", 2, {"regions = 1K", "whole number"}},
        {"[quota total]\nregions = 18446744073709551615\n", 2, {"regions", "whole number"}},
        {"[quota total]\nregions = 18446744073709551616\n", 2, {"regions", "whole number"}},
        {"[quota total]\nconnections = -1\n", 2, {"connections = -1", "whole number"}},
        {"[quota default]\nregion_bytes = lots\n", 2, {"region_bytes = lots"}},
        {"[quota default]\nwarn_at = 120%\n", 2, {"warn_at = 120%", "100%"}},
        {"[daemon]\nsocket = /a\nsocket = /b\n", 3, {"socket", "already", "line 2"}},
        {"[daemon]\nsocket = /a\n[quota total]\n[daemon]\n", 4, {"[daemon]", "already", "line 1"}},
        {"[quota user:+5]\nbytes = 1\n[quota total]\n\n[quota user:+5]\n", 5, {"[quota user:+5]", "already", "line 1"}},
        {"[quota user:root]\n[quota user:+0]\n", 2, {"[quota user:+0]", "already", "line 1"}},
        {"[quota total]\n[quota total]\n", 2, {"[quota total]", "already", "line 1"}},
        {"[quota user:" NAME_100 NAME_100 NAME_100 "]\n", 1, {"too long", "277 bytes"}},
        {"[quota user:" NAME_100 NAME_100 NAME_100 NAME_100 "]\n", 1, {"the line is too long", "377 bytes"}},
        {"[daemon]\nsocket = /a\x01\n", 2, {"not text"}},
        {"[quota user:\xff]\n", 1, {"not text"}},
        {"[quota total]\n  bytes = 1\n  2\n", 3, {"KEY = VALUE"}},
    };
    struct config_fixture f;
    char where[400];

    (void)state;
    config_fixture_init(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_main(&f, cases[i].text);
        if (load(&f) != -EINVAL)
            fail_msg("accepted: %s", cases[i].text);
        snprintf(where, sizeof(where), "%s:%u: ", f.path, cases[i].line);
        if (strncmp(f.error, where, strlen(where)) != 0)
            fail_msg("\"%s\" does not begin with \"%s\"", f.error, where);
        for (size_t k = 0; k < 3 && cases[i].says[k]; k++)
            if (!strstr(f.error, cases[i].says[k]))
                fail_msg("\"%s\" does not say \"%s\"", f.error, cases[i].says[k]);
    }
    config_fixture_deinit(&f);
}

static void a_line_of_198_bytes_is_taken_whole_and_a_longer_one_refused_even_as_a_comment(void **state)
{
    struct config_fixture f;
    char text[400], where[400];

    (void)state;
    config_fixture_init(&f);
    snprintf(text, sizeof(text), "[daemon]\nspill_dir = /%0*d\r\n", 198 - 13, 7);
    load_text(&f, text);
    assert_int_equal(strlen(f.config->spill_dirs.items[0]), 198 - 12);
    assert_int_equal(f.config->spill_dirs.items[0][198 - 13], '7');
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "[daemon]\n%s%0*d\n", i ? "# comment = " : "spill_dir =/", 199 - 12, 7);
        write_main(&f, text);
        assert_int_equal(load(&f), -EINVAL);
        snprintf(where, sizeof(where), "%s:2: the line is too long: 198 bytes at most", f.path);
        assert_string_equal(f.error, where);
    }
    config_fixture_deinit(&f);
}

static void a_nul_byte_is_refused(void **state)
{
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    write_bytes(f.path, "[daemon]\n\0\n", 11);
    assert_int_equal(load(&f), -EINVAL);
    assert_non_null(strstr(f.error, "d.conf:2: it is not text: there is a NUL byte in it"));
    config_fixture_deinit(&f);
}

static void a_file_that_was_named_has_to_be_there(void **state)
{
    struct config_fixture f;

    (void)state;
    config_fixture_init(&f);
    assert_int_equal(load(&f), -ENOENT);
    assert_non_null(strstr(f.error, f.path));
    assert_non_null(strstr(f.error, "No such file"));
    config_fixture_deinit(&f);
}

static void what_cannot_be_read_is_refused_and_named(void **state)
{
    struct config_fixture f;
    char path[400];

    (void)state;
    config_fixture_init(&f);
    write_main(&f, "");
    write_drop_in(&f, "10-good.conf", "");
    snprintf(path, sizeof(path), "%s.d/20-dir.conf", f.path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(load(&f), -EISDIR);
    assert_non_null(strstr(f.error, "20-dir.conf"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/nonexistent", path), 0);
    assert_int_equal(load(&f), -ENOENT);
    assert_non_null(strstr(f.error, "20-dir.conf"));
    config_fixture_deinit(&f);
}

static void a_mistake_in_a_drop_in_names_the_drop_in(void **state)
{
    struct config_fixture f;
    char where[400];

    (void)state;
    config_fixture_init(&f);
    write_main(&f, "");
    write_drop_in(&f, "x.conf", "[quota total]\nbytes = 1\nbytes = 1\n");
    assert_int_equal(load(&f), -EINVAL);
    snprintf(where, sizeof(where), "%s.d/x.conf:3: bytes was said already in [quota total], on line 2", f.path);
    assert_string_equal(f.error, where);
    config_fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_names_file_line_and_what_is_wrong),
        TEST(a_line_of_198_bytes_is_taken_whole_and_a_longer_one_refused_even_as_a_comment),
        TEST(a_nul_byte_is_refused),
        TEST(a_file_that_was_named_has_to_be_there),
        TEST(what_cannot_be_read_is_refused_and_named),
        TEST(a_mistake_in_a_drop_in_names_the_drop_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
