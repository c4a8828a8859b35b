// The counters, and how they are written.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/accept.h"
#include "daemon/http/request.h"
#include "daemon/metrics/output.h"
#include "daemon/tally.h"
#include "tests/lib/harness.h"

static void a_duration_is_in_the_first_bucket_whose_bound_it_does_not_pass(void **state)
{
    struct tally_histogram h = {0};

    (void)state;
    tally_note(&h, 0);
    tally_note(&h, 20);
    tally_note(&h, 21);
    tally_note(&h, 10000000);
    tally_note(&h, 10000001);
    assert_int_equal(h.buckets[0], 2);
    assert_int_equal(h.buckets[1], 1);
    assert_int_equal(h.buckets[TALLY_BOUNDS - 1], 1);
    assert_int_equal(h.buckets[TALLY_BOUNDS], 1);
    assert_int_equal(tally_count(&h), 5);
    assert_int_equal(h.sum_us, 20000042);
    for (unsigned i = 1; i < TALLY_BOUNDS; i++)
        assert_true(tally_bounds_us[i] > tally_bounds_us[i - 1]);
}

static void refusals_of_the_disk_are_counted_by_its_limits(void **state)
{
    static const struct {
        const char *name;
        enum tally_disk_limit limit;
    } names[] = {
        {"disk keep_free", TALLY_KEEP_FREE},
        {"disk", TALLY_SPACE},
        {"disk inodes", TALLY_INODES},
        {"file system quota", TALLY_FILE_SYSTEM_QUOTA},
        {"file system quota inodes", TALLY_FILE_SYSTEM_QUOTA},
        {"project quota of the region", TALLY_FILE_SYSTEM_QUOTA},
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tally t;

        tally_init(&t);
        tally_note_disk_refusal(&t, names[i].name);
        for (int limit = 0; limit < TALLY_DISK_LIMIT_N; limit++)
            assert_int_equal(t.disk_refusals[limit], limit == (int)names[i].limit);
    }
}

static void results_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(tally_result_of(0), TALLY_DONE);
    assert_int_equal(tally_result_of(-EDQUOT), TALLY_LIMIT);
    assert_int_equal(tally_result_of(-ENOSPC), TALLY_FULL);
    assert_int_equal(tally_result_of(-EXFULL), TALLY_EARLY);
    assert_int_equal(tally_result_of(-ETIMEDOUT), TALLY_TIMED_OUT);
    assert_int_equal(tally_result_of(-EIO), TALLY_IO);
    assert_int_equal(tally_result_of(-ESTALE), TALLY_FAILED);
}

static void equal_refusals_take_one_place_and_others_that_of_the_oldest(void **state)
{
    struct tally *t = calloc(1, sizeof *t);
    char name[200];

    (void)state;
    assert_non_null(t);
    for (uint64_t i = 0; i < TALLY_REFUSALS; i++) {
        snprintf(name, sizeof name, "user:u%d bytes", (int)i);
        tally_refusal_place(t, 1000, name, 100 + i);
    }
    tally_refusal_place(t, 1000, "user:u0 bytes", 200);
    tally_refusal_place(t, 1001, "user:u0 bytes", 201); // another user: in the place of u1's
    assert_int_equal(t->refusals[0].n, 2);
    assert_int_equal(t->refusals[0].at, 200);
    assert_int_equal(t->refusals[1].uid, 1001);
    // A name that is too long for its place is recognised all the same.
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    tally_refusal_place(t, 1, name, 300);
    assert_int_equal(tally_refusal_place(t, 1, name, 301)->n, 2);
    free(t);
}

static void text_of_others_is_harmless_in_labels_and_in_json(void **state)
{
    static const char evil[] = "a\"\\\n<b>&\x1b\x7f\xff\xc3\xa9\xc2\x85";
    struct output label = {0}, json = {0};

    (void)state;
    output_label_value(&label, evil);
    output_bytes(&label, "", 1);
    assert_string_equal(label.data, "\"a\\\"\\\\\\n<b>&\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\"");
    output_json(&json, evil, sizeof evil - 1);
    output_bytes(&json, "", 1);
    assert_string_equal(json.data, "\"a\\u0022\\u005c\\u000a\\u003cb\\u003e\\u0026\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                   "\xc3\xa9\xef\xbf\xbd\"");
    free(label.data);
    free(json.data);
}

static void text_has_a_bound(void **state)
{
    static char block[65536];
    struct output o = {0};

    (void)state;
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 100; i++)
        output_bytes(&o, block, sizeof block);
    assert_true(o.failed);
    assert_int_equal(o.n, 4 << 20);
    free(o.data);
}

static void numbers_are_written_whole(void **state)
{
    struct output o = {0};

    (void)state;
    output_number(&o, 0);
    output_add(&o, " ");
    output_number(&o, UINT64_MAX);
    output_bytes(&o, "", 1);
    assert_string_equal(o.data, "0 18446744073709551615");
    free(o.data);
}

static void openmetrics_goes_to_those_who_want_it(void **state)
{
    static const struct {
        const char *header;
        bool wants;
    } headers[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"text/html,application/xhtml+xml,*/*;q=0.8", false},
        {"application/openmetrics-text", true},
        {"application/openmetrics-text; version=1.0.0", true},
        {"text/plain;version=0.0.4;q=0.3 , application/openmetrics-text;version=1.0.0;q=0.7", true},
        // Prometheus 2.42
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         true},
        {"application/openmetrics-text;q=0.2,text/plain", false},
        {"application/openmetrics-text;q=0,text/plain;q=0", false},
        {"application/openmetrics-text;q=1.0,text/plain;q=0.999", true},
        {"application/openmetrics-textual", false},
        {"application/openmetrics-text;q=", true},
        {";;;q=,,,;q=9", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (accept_wants_openmetrics(headers[i].header) != headers[i].wants)
            fail_msg("%s", headers[i].header);
}

static void the_head_of_a_request_is_read(void **state)
{
    static const struct {
        const char *text;
        int status;
        enum http_method method;
        const char *path, *host, *accept;
    } heads[] = {
        {"GET / HTTP/1.0", 0, HTTP_GET, "/", NULL, NULL},
        {"GET / HTTP/1.1", 400, HTTP_GET, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: localhost \t", 0, HTTP_GET, "/", "localhost", NULL},
        {"GET / HTTP/1.1\r\nHost: \t ", 0, HTTP_GET, "/", "", NULL},
        {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400, HTTP_GET, NULL, NULL, NULL},
        {"GET / HTTP/1.0\r\nHost : localhost", 400, HTTP_GET, NULL, NULL, NULL},
        {"GET /a/b?c=d#e HTTP/1.0\r\nHost: localhost:9464\r\nAccept:*/*", 0, HTTP_GET, "/a/b", "localhost", "*/*"},
        {"HEAD /x HTTP/1.1\nhOsT:\t[::1]:80\nX: y", 0, HTTP_HEAD, "/x", "[::1]", NULL},
        {"GET http://127.0.0.1:1/m?q HTTP/1.1\r\nHost: evil.example", 0, HTTP_GET, "/m", "127.0.0.1", NULL},
        {"GET HTTP://[::1]:1/ HTTP/1.1", 0, HTTP_GET, "/", "[::1]", NULL},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0", 0, HTTP_OTHER, "/", "a", NULL},
        {"POST / HTTP/1.1\r\nContent-Length: 1", 413, HTTP_OTHER, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked", 413, HTTP_OTHER, NULL, NULL, NULL},
        {"GET / HTTP/2.0", 505, HTTP_OTHER, NULL, NULL, NULL},
        {"GET /", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET  / HTTP/1.1", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET / HTTP/1.1 x", 505, HTTP_OTHER, NULL, NULL, NULL},
        {"get / HTTP/1.1", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"", 400, HTTP_OTHER, NULL, NULL, NULL},
        {" ", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET x HTTP/1.1", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET http://localhost HTTP/1.1", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nno colon", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n: y", 400, HTTP_OTHER, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nX: y\r\n folded: z", 400, HTTP_OTHER, NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char *text = strdup(heads[i].text);
        struct http_request r;

        assert_non_null(text);
        if (http_request_parse(text, &r) != heads[i].status)
            fail_msg("%s", heads[i].text);
        if (heads[i].status == 0) {
            assert_int_equal(r.method, heads[i].method);
            assert_string_equal(r.path, heads[i].path);
            assert_string_equal(r.host ? r.host : "-", heads[i].host ? heads[i].host : "-");
            assert_string_equal(r.accept ? r.accept : "-", heads[i].accept ? heads[i].accept : "-");
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_duration_is_in_the_first_bucket_whose_bound_it_does_not_pass),
        TEST(refusals_of_the_disk_are_counted_by_its_limits),
        TEST(results_are_told_apart),
        TEST(equal_refusals_take_one_place_and_others_that_of_the_oldest),
        TEST(text_of_others_is_harmless_in_labels_and_in_json),
        TEST(text_has_a_bound),
        TEST(numbers_are_written_whole),
        TEST(openmetrics_goes_to_those_who_want_it),
        TEST(the_head_of_a_request_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
