// The small pure parts that daemon and library share: sizes, names, handles, arithmetic, the bounded allocator.
#include "tests/lib/harness.h"

#include <errno.h>
#include <string.h>

#include "daemon/request/arena.h"
#include "proto/errors.h"
#include "proto/util/checked.h"
#include "proto/util/duration.h"
#include "proto/util/name.h"
#include "proto/util/size.h"
#include "proto/util/text.h"

static void sizes_are_whole_numbers_with_one_letter_of_1024(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"1", 0, 1},
        {"1K", 0, 1024},
        {"1k", 0, 1024},
        {"3m", 0, 3 << 20},
        {"50G", 0, UINT64_C(50) << 30},
        {"16777215T", 0, UINT64_C(16777215) << 40},
        {"18446744073709551614", 0, UINT64_MAX - 1},
        {"18446744073709551615", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999999999", -ERANGE, 0},
        {"16777216T", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"K", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"1 K", -EINVAL, 0},
        {"1KB", -EINVAL, 0},
        {"1KK", -EINVAL, 0},
        {"1E", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"1e3", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 4711;

        if (size_parse(cases[i].text, &value) != cases[i].result)
            fail_msg("\"%s\"", cases[i].text);
        assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 4711);
    }
}

static void times_are_read_as_systemd_writes_them(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"90", 0, 90},
        {"30s", 0, 30},
        {"30min", 0, 1800},
        {"2m", 0, 120},
        {"12h", 0, 43200},
        {"7d", 0, 604800},
        {"2 weeks", 0, 1209600},
        {"1h 30min", 0, 5400},
        {"1h30min", 0, 5400},
        {" 1 day 1 second ", 0, 86401},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"18446744073709551615s 1s", -ERANGE, 0},
        {"9999999999999999999w", -ERANGE, 0},
        {"", -EINVAL, 0},
        {" ", -EINVAL, 0},
        {"d", -EINVAL, 0},
        {"7 d x", -EINVAL, 0},
        {"7D", -EINVAL, 0},
        {"1.5h", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"7dd", -EINVAL, 0},
        {"1 2", -EINVAL, 0},
        {"never", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 4711;

        if (duration_parse(cases[i].text, &value) != cases[i].result)
            fail_msg("\"%s\"", cases[i].text);
        assert_true(value == (cases[i].result == 0 ? cases[i].value : 4711));
    }
}

static void times_are_written_in_their_largest_units(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {
        {0, "0s"},        {1, "1s"},
        {60, "1min"},     {5400, "1h 30min"},
        {604800, "7d"},   {90061, "1d 1h 1min"},
        {86401, "1d 1s"}, {UINT32_MAX, "49710d 6h 28min"},
    };
    char text[DURATION_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(duration_format(cases[i].seconds, text), cases[i].text);
    assert_true(strlen(duration_format(UINT64_MAX, text)) < DURATION_TEXT_MAX);
}

static void numbers_are_read_whole_and_not_beyond_their_maximum(void **state)
{
    const char *end;
    uint64_t value = 4711;

    (void)state;
    assert_true(number_parse("0", 10, 0, &value) && value == 0);
    assert_true(number_parse("0777", 8, 0777, &value) && value == 0777);
    assert_true(number_parse("18446744073709551615", 10, UINT64_MAX, &value) && value == UINT64_MAX);
    value = 4711;
    assert_false(number_parse("18446744073709551616", 10, UINT64_MAX, &value));
    assert_false(number_parse("8", 8, 0777, &value));
    assert_false(number_parse("101", 10, 100, &value));
    assert_false(number_parse("", 10, 100, &value));
    assert_false(number_parse("+1", 10, 100, &value));
    assert_false(number_parse(" 1", 10, 100, &value));
    assert_false(number_parse("1 ", 10, 100, &value));
    assert_int_equal(digits_parse("x", 10, &value, &end), -EINVAL);
    assert_int_equal(digits_parse("99999999999999999999x", 10, &value, &end), -ERANGE);
    assert_int_equal(value, 4711);
    assert_int_equal(digits_parse("80%", 10, &value, &end), 0);
    assert_int_equal(value, 80);
    assert_string_equal(end, "%");
}

static void an_id_has_a_plus_and_is_not_the_one_that_means_none(void **state)
{
    uint32_t id = 4711;

    (void)state;
    assert_false(id_parse("1000", &id));
    assert_false(id_parse("+ 1", &id));
    assert_false(id_parse("++1", &id));
    assert_false(id_parse("+1x", &id));
    assert_false(id_parse("+", &id));
    assert_false(id_parse("+-1", &id));
    assert_false(id_parse("+4294967295", &id));
    assert_false(id_parse("+99999999999999999999", &id));
    assert_int_equal(id, 4711);
    assert_true(id_parse("+4294967294", &id) && id == UINT32_MAX - 1);
}

static void every_error_code_has_an_errno_for_the_client(void **state)
{
    const ProtobufCEnumDescriptor *d = &diskalloc__v1__error_code__descriptor;

    (void)state;
    for (unsigned i = 0; i < d->n_values; i++)
        if (d->values[i].value > DISKALLOC__V1__ERROR_CODE__VERSION &&
            protocol_error_errno((Diskalloc__V1__ErrorCode)d->values[i].value) == -EPROTO)
            fail_msg("%s", d->values[i].name);
    assert_int_equal(protocol_error_errno(DISKALLOC__V1__ERROR_CODE__PROTOCOL), -EPROTO);
    assert_int_equal(protocol_error_errno(DISKALLOC__V1__ERROR_CODE__VERSION), -EPROTO);
    assert_int_equal(protocol_error_errno((Diskalloc__V1__ErrorCode)4711), -EPROTO);
}

static void an_errno_of_the_daemon_reaches_the_client_as_documented(void **state)
{
    static const struct {
        int daemon, client;
    } cases[] = {
        {EPROTO, EPROTO},       {EOPNOTSUPP, EOPNOTSUPP},
        {EINVAL, EINVAL},       {ENAMETOOLONG, ENAMETOOLONG},
        {EOVERFLOW, EOVERFLOW}, {EFBIG, EOVERFLOW},
        {EDQUOT, EDQUOT},       {ENOSPC, ENOSPC},
        {EACCES, EACCES},       {EPERM, EACCES},
        {ENOENT, ENOENT},       {ESRCH, ENOENT},
        {EEXIST, EEXIST},       {ESTALE, ESTALE},
        {EBUSY, EBUSY},         {EUSERS, EMFILE},
        {EROFS, EROFS},         {EIO, EIO},
        {EMFILE, EMFILE},       {ENFILE, EMFILE},
        {ENOMEM, ENOMEM},       {ETIMEDOUT, ETIMEDOUT},
        {ECANCELED, ECANCELED}, {EPROTOTYPE, EPROTOTYPE},
        {ENOTCONN, ESTALE},     {ESHUTDOWN, ECONNRESET},
        {EXFULL, EAGAIN},       {EXDEV, EIO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct protocol_error *e = protocol_error_of(-cases[i].daemon);

        assert_int_equal(protocol_error_errno(e->code), -cases[i].client);
        assert_non_null(e->sentence);
    }
}

static void only_well_formed_utf8_is_decoded(void **state)
{
    static const struct {
        const char *bytes;
        size_t n, length;
        uint32_t code;
    } cases[] = {
        {"a", 1, 1, 'a'},
        {"", 1, 1, 0},
        {"a", 0, 0, 0},
        {"\xc3\xa9", 2, 2, 0xe9},
        {"\xc3\xa9", 1, 0, 0}, // cut
        {"\xe2\x82\xac", 3, 3, 0x20ac},
        {"\xf0\x9f\x98\x80", 4, 4, 0x1f600},
        {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
        {"\xf4\x90\x80\x80", 4, 0, 0}, // above the last code point
        {"\xed\xa0\x80", 3, 0, 0},     // a surrogate
        {"\xc0\x80", 2, 0, 0},         // longer than need be
        {"\xe0\x80\xaf", 3, 0, 0},
        {"\x80", 1, 0, 0},
        {"\xff", 1, 0, 0},
        {"\xc3(", 2, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t code = 0;

        if (utf8_decode(cases[i].bytes, cases[i].n, &code) != cases[i].length || code != cases[i].code)
            fail_msg("case %zu", i);
    }
}

static void sizes_are_written_with_three_digits_at_most(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0B"},
        {1, "1B"},
        {1023, "1023B"},
        {1024, "1.0K"},
        {1536, "1.5K"},
        {10 * 1024 - 1, "9.9K"},
        {10 * 1024, "10K"},
        {UINT64_C(50) << 30, "50G"},
        {UINT64_C(1400) << 30, "1.3T"},
        {UINT64_C(1) << 60, "1.0E"},
        {UINT64_MAX - 1, "15E"},
        {UINT64_MAX, "unlimited"},
    };
    char buffer[SIZE_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(size_format(cases[i].bytes, buffer), cases[i].text);
}

static void names_are_what_the_contract_allows(void **state)
{
    char longest[NAME_MAX_LENGTH + 2];

    (void)state;
    memset(longest, 'n', sizeof longest);
    assert_int_equal(name_check("a", 1), 0);
    assert_int_equal(name_check("A-z_0.9", 7), 0);
    assert_int_equal(name_check("-", 1), 0);
    assert_int_equal(name_check(longest, NAME_MAX_LENGTH), 0);
    assert_int_equal(name_check(longest, NAME_MAX_LENGTH + 1), -ENAMETOOLONG);
    assert_int_equal(name_check("", 0), -EINVAL);
    assert_int_equal(name_check(".", 1), -EINVAL);
    assert_int_equal(name_check("..", 2), -EINVAL);
    assert_int_equal(name_check(".a", 2), -EINVAL);
    assert_int_equal(name_check("a/b", 3), -EINVAL);
    assert_int_equal(name_check("a b", 3), -EINVAL);
    assert_int_equal(name_check("a\n", 2), -EINVAL);
    assert_int_equal(name_check("a\0b", 3), -EINVAL);
    assert_int_equal(name_check("\xc3\xa4", 2), -EINVAL);
}

static void a_name_that_could_be_a_handle_is_none(void **state)
{
    const char *handle = "0123456789abcdefABCDEF0123456789";

    (void)state;
    assert_int_equal(name_check(handle, 32), -EINVAL);
    assert_int_equal(name_check(handle, 31), 0);
    assert_int_equal(name_check("0123456789abcdefABCDEF012345678g", 32), 0);
    assert_int_equal(name_check("0123456789abcdefABCDEF01234567890", 33), 0);
}

static void handles_are_32_hexadecimal_digits_both_ways(void **state)
{
    static const char *const bad[] = {"", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0",
                                      "0123456789abcdef0123456789abcdeg", "0123456789abcdef 123456789abcdef"};
    struct handle h = {{0}}, same;
    char text[HANDLE_TEXT_LENGTH + 1];

    (void)state;
    assert_int_equal(handle_parse("00ff10A0456789abcdef0123456789AB", &h), 0);
    assert_int_equal(h.bytes[1], 0xff);
    assert_int_equal(h.bytes[3], 0xa0);
    assert_int_equal(h.bytes[15], 0xab);
    handle_format(&h, text);
    assert_string_equal(text, "00ff10a0456789abcdef0123456789ab");
    assert_int_equal(handle_parse(text, &same), 0);
    assert_true(handle_equal(&h, &same));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(handle_parse(bad[i], &same), -EINVAL);
    assert_true(handle_equal(&h, &same));
}

static void random_handles_differ(void **state)
{
    struct handle a, b;

    (void)state;
    assert_int_equal(handle_random(&a), 0);
    assert_int_equal(handle_random(&b), 0);
    assert_false(handle_equal(&a, &b));
}

static void arithmetic_that_would_wrap_says_so_and_writes_nothing(void **state)
{
    uint64_t r = 7;

    (void)state;
    assert_true(checked_add(UINT64_MAX - 1, 1, &r));
    assert_int_equal(r, UINT64_MAX);
    r = 7;
    assert_false(checked_add(UINT64_MAX, 1, &r));
    assert_false(checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
    assert_false(checked_align_up(UINT64_MAX - 4094, 4096, &r));
    assert_int_equal(r, 7);
    assert_true(checked_mul(UINT32_MAX, UINT32_MAX, &r));
    assert_int_equal(r, (uint64_t)UINT32_MAX * UINT32_MAX);
    assert_true(checked_align_up(UINT64_MAX - 4095, 4096, &r));
    assert_int_equal(r, UINT64_MAX - 4095);
    assert_true(checked_align_up(0, 4096, &r));
    assert_int_equal(r, 0);
    assert_true(checked_align_up(1, 4096, &r));
    assert_int_equal(r, 4096);
}

static void *take(struct arena *a, size_t n)
{
    return a->allocator.alloc(a->allocator.allocator_data, n);
}

static void an_arena_runs_dry_and_is_full_again_after_a_reset(void **state)
{
    struct arena a;
    char *first, *second;

    (void)state;
    assert_int_equal(arena_init(&a, 256), 0);
    first = take(&a, 100);
    second = take(&a, 100);
    assert_non_null(first);
    assert_non_null(second);
    assert_true(second >= first + 100);
    assert_int_equal((uintptr_t)second % _Alignof(max_align_t), 0);
    memset(first, 1, 100);
    memset(second, 2, 100);
    assert_null(take(&a, 100));
    a.allocator.free(a.allocator.allocator_data, first);
    assert_null(take(&a, 100));
    arena_reset(&a);
    assert_ptr_equal(take(&a, 100), first);
    arena_deinit(&a);
}

static void an_arena_refuses_sizes_near_the_end_of_numbers(void **state)
{
    struct arena a;

    (void)state;
    assert_int_equal(arena_init(&a, 256), 0);
    assert_null(take(&a, SIZE_MAX));
    assert_null(take(&a, SIZE_MAX - 15));
    assert_null(take(&a, 257));
    assert_non_null(take(&a, 256));
    assert_null(take(&a, 1));
    assert_null(take(&a, SIZE_MAX - 8));
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes_are_whole_numbers_with_one_letter_of_1024),
        TEST(times_are_read_as_systemd_writes_them),
        TEST(times_are_written_in_their_largest_units),
        TEST(numbers_are_read_whole_and_not_beyond_their_maximum),
        TEST(an_id_has_a_plus_and_is_not_the_one_that_means_none),
        TEST(every_error_code_has_an_errno_for_the_client),
        TEST(an_errno_of_the_daemon_reaches_the_client_as_documented),
        TEST(only_well_formed_utf8_is_decoded),
        TEST(sizes_are_written_with_three_digits_at_most),
        TEST(names_are_what_the_contract_allows),
        TEST(a_name_that_could_be_a_handle_is_none),
        TEST(handles_are_32_hexadecimal_digits_both_ways),
        TEST(random_handles_differ),
        TEST(arithmetic_that_would_wrap_says_so_and_writes_nothing),
        TEST(an_arena_runs_dry_and_is_full_again_after_a_reset),
        TEST(an_arena_refuses_sizes_near_the_end_of_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
