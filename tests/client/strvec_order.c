// Sorting and compacting vectors of strings.
#include "client/strvec/strvec.h"
#include "tests/lib/numbers.h"
#include "tests/lib/strings.h"

static int compare(const struct diskalloc_strvec *v, size_t i, size_t j)
{
    size_t n, m;
    const char *a = diskalloc_strvec_get(v, i, &n), *b = diskalloc_strvec_get(v, j, &m);
    int order = memcmp(a, b, n < m ? n : m);

    return order != 0 ? order : (n > m) - (n < m);
}

static void expect_sorted(const struct diskalloc_strvec *v)
{
    for (size_t i = 1; i < diskalloc_strvec_len(v); i++)
        assert_true(compare(v, i - 1, i) <= 0);
}

// Strings that differ in each place of a key, and only behind it; that begin others; with NULs at the end; and bytes
// above 127.
static void strings_are_sorted_as_bytes(struct test_backend *b)
{
    const char bytes[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1abcdefghijklmnopqrstuvwxyz\x7f\x80\xff\xff\xff";
    struct diskalloc_strvec v;
    uint64_t state = 1;

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    for (size_t i = 0; i < 3000; i++) {
        char text[20];
        size_t n = (state = mix(state + i)) % sizeof text;

        // Most letters are the same, so that long beginnings are common.
        memset(text, 'm', sizeof text);
        for (size_t k = 0; k < n; k++)
            if ((state = mix(state + k)) % 4 == 0)
                text[k] = bytes[state / 4 % (sizeof bytes - 1)];
        assert_int_equal(diskalloc_strvec_push(&v, text, n), 0);
    }
    for (size_t n = 0; n < 16; n++)
        assert_int_equal(diskalloc_strvec_push(&v, bytes, n), 0);
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 3016);
    expect_sorted(&v);
    diskalloc_strvec_deinit(&v);
}

static void a_sort_keeps_all_strings_and_no_room(struct test_backend *b)
{
    const size_t n = SANITIZED ? 30000 : 300000;
    struct diskalloc_strvec v;
    uint64_t sum = 0, size;

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    push_numbered(&v, 0, n);
    // Else it may grow by itself meanwhile: pushing has asked for the next size early.
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    size = diskalloc_region_size(v.offsets.region);
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    assert_int_equal(diskalloc_region_size(v.offsets.region), size);
    expect_sorted(&v);
    for (size_t i = 0; i < n; i++)
        sum += number_of(&v, i);
    assert_int_equal(sum, (uint64_t)n * (n - 1) / 2);
    push_numbered(&v, n, n + 10);
    assert_int_equal(number_of(&v, n + 9), n + 9);
    diskalloc_strvec_deinit(&v);
}

// Set, truncate, and a sort before: strings out of order, with bytes between them.  NAME: NULL for an anonymous one.
static void compact_one(struct test_backend *b, const char *name, bool sorted)
{
    const size_t n = 5000;
    struct diskalloc_strvec v;
    uint64_t live = 0, numbers[5000];
    char text[96];

    if (name)
        open_strings(b, &v, name);
    else
        assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    push_numbered(&v, 0, 2 * n);
    if (sorted)
        assert_int_equal(diskalloc_strvec_sort(&v), 0);
    for (size_t i = 0; i < n; i += 3)
        assert_int_equal(diskalloc_strvec_set(&v, i, text, numbered(text, i % 7)), 0);
    assert_int_equal(diskalloc_strvec_truncate(&v, n), 0);
    for (size_t i = 0; i < n; i++)
        live += numbered(text, numbers[i] = number_of(&v, i));
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    assert_int_equal(v.bytes.len, live);
    assert_int_equal(diskalloc_region_size(v.bytes.region), live);
    assert_int_equal(diskalloc_region_size(v.offsets.region), (HEADER_ENTRIES + n) * ENTRY_SIZE);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(diskalloc_strvec_len(&v), n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(number_of(&v, i), numbers[i]);
        assert_int_equal(diskalloc_strvec_compact(&v), 0);
        if (name && again == 0) {
            diskalloc_strvec_deinit(&v);
            open_strings(b, &v, name);
        }
    }
    push_numbered(&v, 1, 1000);
    assert_int_equal(number_of(&v, n), 1);
    diskalloc_strvec_deinit(&v);
    if (name)
        unlink_strings(b, name);
}

static void compaction_gives_back_what_no_string_has(struct test_backend *b)
{
    for (int sorted = 0; sorted < 2; sorted++) {
        compact_one(b, NULL, sorted);
        compact_one(b, "compacted", sorted);
    }
}

static void compaction_of_few_or_no_strings(struct test_backend *b)
{
    struct diskalloc_strvec v;

    open_strings(b, &v, "few");
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    push_text(&v, "one");
    push_text(&v, "");
    assert_int_equal(diskalloc_strvec_commit(&v, DISKALLOC_DURABLE), 0);
    assert_int_equal(diskalloc_strvec_truncate(&v, 1), 0);
    assert_int_equal(diskalloc_strvec_set(&v, 0, "two", 3), 0);
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    assert_int_equal(v.bytes.len, 3);
    expect_text(&v, 0, "two");
    assert_int_equal(diskalloc_strvec_truncate(&v, 0), 0);
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    assert_int_equal(diskalloc_region_size(v.bytes.region), 0);
    diskalloc_strvec_deinit(&v);
    assert_int_equal(diskalloc_strvec_open(&v, b->da, "few", 0), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 0);
    diskalloc_strvec_deinit(&v);
    unlink_strings(b, "few");
}

FOR_EACH_BACKEND(strings_are_sorted_as_bytes)
FOR_EACH_BACKEND(a_sort_keeps_all_strings_and_no_room)
FOR_EACH_BACKEND(compaction_gives_back_what_no_string_has)
FOR_EACH_BACKEND(compaction_of_few_or_no_strings)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(strings_are_sorted_as_bytes),
        EACH_BACKEND(a_sort_keeps_all_strings_and_no_room),
        EACH_BACKEND(compaction_gives_back_what_no_string_has),
        EACH_BACKEND(compaction_of_few_or_no_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
