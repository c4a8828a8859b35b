// The list of pieces, and the settings in the environment.
#include "tests/lib/harness.h"

#include "client/preload/pieces.h"
#include "client/preload/settings.h"

static struct piece piece(uintptr_t at, uint64_t length, uint64_t offset, uintptr_t block)
{
    return (struct piece){.at = at, .length = length, .offset = offset, .block = block};
}

static void pieces_stay_sorted_and_are_found_by_each_of_their_bytes(void **state)
{
    struct pieces p = {0};

    (void)state;
    for (uintptr_t i = 0; i < 200; i++) { // 7 and 200 have no common divisor
        assert_int_equal(pieces_reserve(&p, 1), 0);
        pieces_insert(&p, piece(100 + 10 * (i * 7 % 200), 6, 0, 0));
    }
    assert_int_equal(p.n, 200);
    for (uintptr_t at = 0; at < 2200; at++) {
        size_t i = pieces_find(&p, at);

        assert_true(i == p.n || p.items[i].at + p.items[i].length > at);
        assert_true(i == 0 || p.items[i - 1].at + p.items[i - 1].length <= at);
    }
    pieces_remove(&p, 1, 198);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.items[0].at, 100);
    assert_int_equal(p.items[1].at, 2090);
    pieces_deinit(&p);
}

static void a_piece_that_is_split_keeps_its_bytes(void **state)
{
    struct pieces p = {0};

    (void)state;
    assert_int_equal(pieces_reserve(&p, 3), 0);
    pieces_insert(&p, piece(1000, 100, 5000, 1000));
    p.items[0].reserve = 400;
    pieces_split(&p, 1000);
    pieces_split(&p, 1100);
    pieces_split(&p, 900);
    assert_int_equal(p.n, 1);
    pieces_split(&p, 1030);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.items[0].length, 30);
    assert_int_equal(p.items[0].reserve, 400);
    assert_int_equal(p.items[1].at, 1030);
    assert_int_equal(p.items[1].length, 70);
    assert_int_equal(p.items[1].offset, 5030);
    assert_int_equal(p.items[1].reserve, 0);
    pieces_deinit(&p);
}

static void a_block_is_the_pieces_that_name_it_in_a_row(void **state)
{
    struct pieces p = {0};
    size_t n;

    (void)state;
    assert_int_equal(pieces_reserve(&p, 4), 0);
    pieces_insert(&p, piece(100, 10, 0, 100));
    pieces_insert(&p, piece(110, 20, 500, 100));
    pieces_insert(&p, piece(130, 40, 30, 130));
    pieces_insert(&p, piece(170, 80, 0, 0));
    assert_int_equal(pieces_find_block(&p, 100), 0);
    assert_int_equal(pieces_block_length(&p, 0, &n), 30);
    assert_int_equal(n, 2);
    assert_int_equal(pieces_find_block(&p, 130), 2);
    assert_int_equal(pieces_block_length(&p, 2, &n), 40);
    assert_int_equal(pieces_find_block(&p, 110), p.n); // within a block
    assert_int_equal(pieces_find_block(&p, 170), p.n); // of mmap
    assert_int_equal(pieces_find_block(&p, 105), p.n);
    assert_int_equal(pieces_find_block(&p, 9999), p.n);
    pieces_deinit(&p);
}

static void settings_are_read_as_they_were_written(void **state)
{
    struct settings s, back;
    char text[SETTINGS_TEXT_MAX];

    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        settings_default(&s);
        s.all = bits & 1;
        s.strict = bits & 2;
        s.report = bits & 4;
        s.limit = bits & 8 ? 12345 : UINT64_MAX;
        s.threshold = SETTINGS_THRESHOLD_MIN + bits;
        strcpy(s.address, bits & 1 ? "dir:/a directory/with blanks all" : "");
        settings_format(&s, text);
        settings_default(&back);
        assert_true(settings_parse(&back, text));
        assert_memory_equal(&s, &back, sizeof s);
    }
}

static void settings_that_are_nonsense_are_refused(void **state)
{
    static const char *const wrong[] = {"threshold=0",
                                        "threshold=65535",
                                        "threshold=",
                                        "threshold=1x",
                                        "threshold=99999999999999999999",
                                        "threshold=184467440737095516160",
                                        "limit=-1",
                                        "everything",
                                        "all,strict",
                                        "strict all reports"};
    char address[2 * SETTINGS_ADDRESS_MAX] = "address=";
    struct settings s;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        settings_default(&s);
        assert_false(settings_parse(&s, wrong[i]));
    }
    memset(address + 8, 'x', SETTINGS_ADDRESS_MAX);
    assert_false(settings_parse(&s, address));
    address[8 + SETTINGS_ADDRESS_MAX - 1] = '\0';
    assert_true(settings_parse(&s, address));
    assert_true(settings_parse(&s, ""));
    assert_true(settings_parse(&s, "  all  strict "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pieces_stay_sorted_and_are_found_by_each_of_their_bytes),
        TEST(a_piece_that_is_split_keeps_its_bytes),
        TEST(a_block_is_the_pieces_that_name_it_in_a_row),
        TEST(settings_are_read_as_they_were_written),
        TEST(settings_that_are_nonsense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
