// The parts of the library that need no region: growth, address space, options, addresses, the last error.
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

#include <diskalloc/client.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/address.h"
#include "client/growth.h"
#include "client/memory/mapping.h"
#include "client/memory/reservation.h"
#include "client/options.h"
#include "client/util/error.h"
#include "proto/version.h"

static void growth_doubles_from_64_kib_and_then_goes_by_an_eighth(void **state)
{
    (void)state;
    assert_int_equal(growth_next(0, 8, TIB), 64 * KIB);
    assert_int_equal(growth_next(64 * KIB, 64 * KIB + 1, TIB), 128 * KIB);
    assert_int_equal(growth_next(32 * MIB, 32 * MIB + 1, TIB), 64 * MIB);
    assert_int_equal(growth_next(64 * MIB, 64 * MIB + 1, TIB), 72 * MIB);
    assert_int_equal(growth_next(72 * MIB, 72 * MIB + 1, TIB), 82 * MIB); // 81, in steps of 2 MiB
}

static void growth_asks_for_what_is_needed_and_never_for_more_than_there_may_be(void **state)
{
    (void)state;
    assert_int_equal(growth_next(0, GIB, TIB), GIB);
    assert_int_equal(growth_next(0, 3 * MIB, TIB), 4 * MIB);
    assert_int_equal(growth_next(0, 70 * KIB, TIB), 72 * KIB);
    assert_int_equal(growth_next(3 * MIB, 3 * MIB + 1, 5 * MIB), 5 * MIB);
    assert_int_equal(growth_next(1, INT64_MAX, INT64_MAX), INT64_MAX);
}

static void growth_for_any_size_is_enough_and_makes_progress(void **state)
{
    (void)state;
    for (uint64_t size = 0; size < 20 * GIB; size += 1 + size / 7) {
        uint64_t next = growth_next(size, size + 1, 512 * GIB);

        assert_true(next > size);
        assert_true(next < 2 * MIB || next % (2 * MIB) == 0);
        assert_true(next <= 2 * size + 64 * KIB + 2 * MIB);
    }
}

static void vectors_begin_with_what_the_last_ones_came_to(void **state)
{
    (void)state;
    assert_int_equal(growth_first_after_need(64 * KIB, 1), 64 * KIB);
    assert_int_equal(growth_first_after_need(64 * KIB, 64 * KIB + 1), 128 * KIB);
    assert_int_equal(growth_first_after_need(64 * KIB, MIB), MIB);
    assert_int_equal(growth_first_after_need(64 * KIB, GIB), 2 * MIB);
    assert_int_equal(growth_first_after_end(MIB, MIB, 0), MIB / 2);
    assert_int_equal(growth_first_after_end(MIB, MIB, MIB / 4), MIB / 2);
    assert_int_equal(growth_first_after_end(MIB, MIB, MIB / 4 + 1), MIB);
    assert_int_equal(growth_first_after_end(MIB, 64 * KIB, 0),
                     MIB); // a smaller vector says nothing about vectors that began with more
    assert_int_equal(growth_first_after_end(64 * KIB, 64 * KIB, 0), 64 * KIB);
}

static void growth_is_asked_for_early_when_little_is_left(void **state)
{
    (void)state;
    assert_int_equal(growth_early(0, 0, TIB), 0);
    assert_int_equal(growth_early(MIB, MIB / 2, TIB), 0);
    assert_int_equal(growth_early(MIB, MIB / 4 * 3, TIB), 2 * MIB);
    assert_int_equal(growth_early(MIB, MIB, TIB), 2 * MIB);
    assert_int_equal(growth_early(GIB, GIB - 65 * MIB, TIB), 0);
    assert_int_equal(growth_early(GIB, GIB - 64 * MIB, TIB), GIB + GIB / 8);
    assert_int_equal(growth_early(GIB, GIB, GIB), 0);
    assert_int_equal(growth_early(GIB, GIB, GIB + MIB), GIB + MIB);
    for (uint64_t size = 64 * MIB; size < 20 * GIB; size += 2 * MIB)
        assert_true(growth_early(size, size, TIB) <= size + size / 8 + 2 * MIB);
}

static void near_a_limit_growth_takes_what_is_left_in_blocks(void **state)
{
    (void)state;
    assert_int_equal(growth_fallback(8192, 8200, TIB, 10000), 8192 + 8192);
    assert_int_equal(growth_fallback(5000, 8200, TIB, 4096), 8192 + 4096);
    assert_int_equal(growth_fallback(8192, 8200, TIB, 4095), 8200); // a try with exactly what is needed
    assert_int_equal(growth_fallback(8192, 8200, 9000, 10000), 9000);
    assert_int_equal(growth_fallback(8192, 8200, TIB, UINT64_MAX), 8200);
}

static void address_space_is_given_out_by_a_ladder(void **state)
{
    (void)state;
    assert_int_equal(reservation_default(0), 512 * GIB);
    assert_int_equal(reservation_default(32 * TIB - 1), 512 * GIB);
    assert_int_equal(reservation_default(32 * TIB), 64 * GIB);
    assert_int_equal(reservation_default(96 * TIB), GIB);
    assert_int_equal(reservation_default(112 * TIB), 0);
    assert_int_equal(reservation_smaller(512 * GIB, 1), 64 * GIB);
    assert_int_equal(reservation_smaller(64 * GIB, 1), GIB);
    assert_int_equal(reservation_smaller(64 * GIB, 2 * GIB), 2 * GIB);
    assert_int_equal(reservation_smaller(2 * GIB, 2 * GIB), 0);
    assert_int_equal(reservation_smaller(GIB, 1), 256 * MIB);
    assert_int_equal(reservation_smaller(2 * MIB, 2 * MIB), 0);
    assert_int_equal(reservation_for(512 * GIB, 256 * GIB), 512 * GIB);
    assert_int_equal(reservation_for(512 * GIB, 257 * GIB), 514 * GIB);
    assert_int_equal(reservation_for(0, 5 * TIB), 10 * TIB);
    assert_true(reservation_for(512 * GIB, UINT64_MAX) <= INT64_MAX);
}

static void no_more_than_112_tib_is_held(void **state)
{
    uint64_t before = reservation_held();

    (void)state;
    assert_true(reservation_take(112 * TIB - before));
    assert_false(reservation_take(1));
    assert_false(reservation_take(UINT64_MAX));
    reservation_release(112 * TIB - before);
    assert_int_equal(reservation_held(), before);
}

static void a_mapping_is_aligned_and_only_what_is_granted_is_accessible(void **state)
{
    struct mapping m = {0};
    const struct ranges none = {0};
    FILE *f = tmpfile();

    (void)state;
    assert_non_null(f);
    assert_int_equal(mapping_reserve(&m, 5 * MIB, true, 1), 0);
    assert_int_equal(m.reserve, 6 * MIB);
    assert_int_equal((uintptr_t)m.base % (2 * MIB), 0);
    assert_int_equal(mapping_place(&m, fileno(f), false), 0);
    assert_return_code(ftruncate(fileno(f), 10000), errno);
    assert_int_equal(mapping_set_access(&m, 10000, &none), 0);
    assert_int_equal(m.granted, 12288);
    m.base[9999] = 1;
    assert_int_equal(mapping_sync(&m), 0);
    assert_int_equal(mapping_set_access(&m, 0, &none), 0);
    assert_int_equal(m.granted, 0);
    mapping_deinit(&m);
    mapping_deinit(&m);
    fclose(f);
}

static void address_space_that_is_not_to_be_had_is_refused(void **state)
{
    struct mapping m = {0};

    (void)state;
    error_begin("call");
    assert_int_equal(mapping_reserve(&m, 200 * TIB, true, 1), -ENOMEM);
    assert_int_equal(mapping_reserve(&m, UINT64_MAX, true, 1), -ENOMEM);
    assert_int_equal(mapping_reserve(&m, UINT64_MAX - 4 * MIB, false, 1), -ENOMEM);
    assert_null(m.base);
}

static void options_of_other_versions_are_understood(void **state)
{
    struct {
        struct diskalloc_options known;
        uint64_t unknown;
    } newer = {.known = DISKALLOC_OPTIONS_INIT};
    struct diskalloc_options older = DISKALLOC_OPTIONS_INIT, checked;

    (void)state;
    error_begin("call");
    newer.known.struct_size = sizeof newer;
    assert_int_equal(options_check(&newer.known, &checked), 0);
    newer.unknown = 1;
    assert_int_equal(options_check(&newer.known, &checked), -EINVAL);
    older.struct_size = offsetof(struct diskalloc_options, reconnect_timeout_ms);
    older.reconnect_timeout_ms = 7;
    assert_int_equal(options_check(&older, &checked), 0);
    assert_int_equal(checked.reconnect_timeout_ms, 300000);
    older.struct_size = 0;
    assert_int_equal(options_check(&older, &checked), -EINVAL);
    assert_int_equal(options_check(NULL, &checked), 0);
}

static void options_that_mean_nothing_are_refused(void **state)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT, checked;
    struct diskalloc_options options = DISKALLOC_OPTIONS_INIT, options_checked;

    (void)state;
    error_begin("call");
    o.flags = DISKALLOC_REGION_EXCLUSIVE;
    assert_int_equal(options_check_region(&o, 15, &checked), -EINVAL);
    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(options_check_region(&o, DISKALLOC_REGION_READ_ONLY, &checked), -EINVAL);
    o.flags = 0;
    o.mode = 01777;
    assert_int_equal(options_check_region(&o, 15, &checked), -EINVAL);
    o.mode = 0;
    assert_int_equal(options_check_region(&o, 15, &checked), 0);
    assert_int_equal(checked.mode, 0600);
    options.flags = 2;
    assert_int_equal(options_check(&options, &options_checked), -EINVAL);
    options.flags = DISKALLOC_NO_THREADS;
    options.reconnect_timeout_ms = -2;
    assert_int_equal(options_check(&options, &options_checked), -EINVAL);
}

static void addresses_are_absolute_and_of_two_kinds(void **state)
{
    static const char *const wrong[] = {"", "/run/sock", "unix:", "unix:sock", "dir:", "dir:spill", "tcp:/x"};
    struct address a;

    (void)state;
    error_begin("call");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(address_parse(wrong[i], &a), -EINVAL);
    assert_int_equal(address_parse("unix:/a", &a), 0);
    assert_int_equal(a.kind, ADDRESS_UNIX);
    assert_false(a.may_fall_back);
    assert_int_equal(address_parse("dir:/b c", &a), 0);
    assert_int_equal(a.kind, ADDRESS_DIR);
    assert_string_equal(a.path, "/b c");
}

static void the_environment_chooses_the_address_and_forbids_the_fallback(void **state)
{
    struct address a;

    (void)state;
    error_begin("call");
    setenv("DISKALLOC_ADDRESS", "unix:/there", 1);
    assert_int_equal(address_parse(NULL, &a), 0);
    assert_string_equal(a.path, "/there");
    assert_false(a.may_fall_back);
    setenv("DISKALLOC_ADDRESS", "nonsense", 1);
    assert_int_equal(address_parse(NULL, &a), -EINVAL);
    for (int empty = 0; empty < 2; empty++) {
        unsetenv("DISKALLOC_ADDRESS");
        if (empty)
            setenv("DISKALLOC_ADDRESS", "", 1);
        assert_int_equal(address_parse(NULL, &a), 0);
        assert_string_equal(a.path, DEFAULT_SOCKET);
        assert_true(a.may_fall_back);
    }
    assert_int_equal(address_parse("", &a), -EINVAL);
    unsetenv("DISKALLOC_ADDRESS");
}

static void the_fallback_directory_is_never_in_memory(void **state)
{
    (void)state;
    setenv("TMPDIR", "/dev/shm", 1);
    assert_string_equal(address_fallback_dir(), "/var/tmp");
    setenv("TMPDIR", "relative", 1);
    assert_string_equal(address_fallback_dir(), "/var/tmp");
    setenv("TMPDIR", test_base_dir(), 1);
    assert_string_equal(address_fallback_dir(), test_base_dir());
    unsetenv("TMPDIR");
}

static void a_sentence_has_the_call_the_limit_and_the_reason(void **state)
{
    struct diskalloc_error_info info;

    (void)state;
    error_begin("diskalloc_something");
    error_limit(-EDQUOT, "user:alice bytes", 50 * GIB, 49 * GIB, 2 * GIB);
    error_why(-EDQUOT, "a limit is reached");
    error_handle("0123");
    assert_int_equal(error_end(-EDQUOT), -EDQUOT);
    assert_string_equal(diskalloc_last_error(),
                        "diskalloc_something: a limit is reached: user:alice bytes: limit 50G, used 49G, "
                        "asked 2.0G: Disk quota exceeded");
    assert_int_equal(diskalloc_last_error_info(&info, sizeof info), 0);
    assert_int_equal(info.code, -EDQUOT);
    assert_int_equal(info.limit, 50 * GIB);
    assert_int_equal(info.used, 49 * GIB);
    assert_int_equal(info.asked, 2 * GIB);
    assert_string_equal(info.limit_name, "user:alice bytes");
    assert_string_equal(info.handle, "0123");
}

static void counts_are_not_written_as_bytes(void **state)
{
    (void)state;
    error_begin("call");
    error_limit(-EDQUOT, "total regions", 100000, 100000, 1);
    error_end(-EDQUOT);
    assert_non_null(strstr(diskalloc_last_error(), "limit 100000, used 100000, asked 1:"));
}

static void a_success_forgets_the_last_error(void **state)
{
    struct diskalloc_error_info info;

    (void)state;
    error_begin("call");
    error_end(error_why(-EIO, "reason"));
    error_begin("call");
    error_end(0);
    assert_string_equal(diskalloc_last_error(), "");
    assert_int_equal(diskalloc_last_error_info(&info, sizeof info), 0);
    assert_int_equal(info.code, 0);
}

static void error_info_fits_any_size(void **state)
{
    struct {
        struct diskalloc_error_info known;
        char unknown[8];
    } newer;
    int code = 1;

    (void)state;
    error_begin("call");
    error_end(-EIO);
    memset(&newer, 1, sizeof newer);
    assert_int_equal(diskalloc_last_error_info(&newer.known, sizeof newer), 0);
    assert_int_equal(newer.unknown[7], 0);
    assert_int_equal(diskalloc_last_error_info((struct diskalloc_error_info *)(void *)&code, sizeof code), 0);
    assert_int_equal(code, -EIO);
    assert_int_equal(diskalloc_last_error_info(&newer.known, 0), -EINVAL);
    assert_int_equal(diskalloc_last_error_info(NULL, 8), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(growth_doubles_from_64_kib_and_then_goes_by_an_eighth),
        TEST(growth_asks_for_what_is_needed_and_never_for_more_than_there_may_be),
        TEST(vectors_begin_with_what_the_last_ones_came_to),
        TEST(growth_is_asked_for_early_when_little_is_left),
        TEST(growth_for_any_size_is_enough_and_makes_progress),
        TEST(near_a_limit_growth_takes_what_is_left_in_blocks),
        TEST(address_space_is_given_out_by_a_ladder),
        TEST(no_more_than_112_tib_is_held),
        TEST(a_mapping_is_aligned_and_only_what_is_granted_is_accessible),
        TEST(address_space_that_is_not_to_be_had_is_refused),
        TEST(options_of_other_versions_are_understood),
        TEST(options_that_mean_nothing_are_refused),
        TEST(addresses_are_absolute_and_of_two_kinds),
        TEST(the_environment_chooses_the_address_and_forbids_the_fallback),
        TEST(the_fallback_directory_is_never_in_memory),
        TEST(a_sentence_has_the_call_the_limit_and_the_reason),
        TEST(counts_are_not_written_as_bytes),
        TEST(a_success_forgets_the_last_error),
        TEST(error_info_fits_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
