// Vectors of strings: with a daemon and embedded, with bad input, and at limits.
#include "client/strvec/strvec.h"
#include "client/region/region.h"
#include "tests/lib/strings.h"

static void strings_come_back_as_they_were_pushed(struct test_backend *b)
{
    struct diskalloc_strvec v;
    char text[96];

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 0);
    assert_int_equal(diskalloc_strvec_push(&v, "", 0), 0);
    assert_int_equal(diskalloc_strvec_push(&v, NULL, 0), 0);
    assert_int_equal(diskalloc_strvec_push(&v, "a\0b", 3), 0);
    push_numbered(&v, 0, 100000);
    assert_int_equal(diskalloc_strvec_len(&v), 100003);
    expect_text(&v, 0, "");
    expect_text(&v, 1, "");
    expect_bytes(&v, 2, "a\0b", 3);
    for (uint64_t i = 0; i < 100000; i++)
        expect_bytes(&v, i + 3, text, numbered(text, i));
    assert_non_null(diskalloc_strvec_get(&v, 0, NULL));
    diskalloc_strvec_deinit(&v);
    diskalloc_strvec_deinit(&v);
    diskalloc_strvec_deinit(NULL);
}

// The bytes of the last string go with it; an empty one, wherever it was made, needs none of them.
static void empty_strings_outlive_others(struct test_backend *b)
{
    for (int how = 0; how < 4; how++) {
        struct diskalloc_strvec v;

        assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
        assert_int_equal(diskalloc_strvec_push(&v, "abc", 3), 0);
        assert_int_equal(diskalloc_strvec_push(&v, how == 0 ? "" : "x", how == 0 ? 0 : 1), 0);
        if (how == 0)
            assert_int_equal(diskalloc_strvec_sort(&v), 0); // "", "abc"
        else
            assert_int_equal(diskalloc_strvec_set(&v, 0, "", 0), 0);
        assert_int_equal(diskalloc_strvec_pop(&v), 0);
        expect_text(&v, 0, "");
        if (how == 1)
            assert_int_equal(diskalloc_strvec_compact(&v), 0);
        if (how == 2)
            assert_int_equal(diskalloc_strvec_sort(&v), 0);
        if (how == 3)
            assert_int_equal(diskalloc_strvec_set(&v, 0, "again", 5), 0);
        assert_int_equal(diskalloc_strvec_push(&v, "more", 4), 0);
        expect_text(&v, 0, how == 3 ? "again" : "");
        expect_text(&v, 1, "more");
        assert_int_equal(diskalloc_strvec_compact(&v), 0);
        expect_text(&v, 0, how == 3 ? "again" : "");
        expect_text(&v, 1, "more");
        assert_int_equal(v.bytes.len, how == 3 ? 9 : 4);
        diskalloc_strvec_deinit(&v);
    }
}

// Around the length that an entry has room for.
static void strings_of_all_lengths_are_kept(struct test_backend *b)
{
    const size_t lengths[] = {1, 65534, 65535, 65536, 65537, 1000000, 5};
    const size_t n = sizeof lengths / sizeof *lengths;
    char *text = malloc(1000000);
    struct diskalloc_strvec v;

    assert_non_null(text);
    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    for (size_t i = 0; i < n; i++) {
        memset(text, 'a' + (int)i, lengths[i]);
        assert_int_equal(diskalloc_strvec_push(&v, text, lengths[i]), 0);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(diskalloc_strvec_set(&v, n - 1 - i, text, lengths[i]), 0);
        expect_bytes(&v, n - 1 - i, text, lengths[i]);
    }
    for (size_t i = 0; i < n; i++) {
        memset(text, 'a' + (int)i, lengths[i]);
        assert_int_equal(diskalloc_strvec_set(&v, i, text, lengths[i]), 0);
    }
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    assert_int_equal(v.bytes.len, 65534 + 65535 + 65536 + 65537 + 1000000 + 6 + 4 * 8);
    for (size_t i = 0; i < n; i++) {
        memset(text, 'a' + (int)i, lengths[i]);
        expect_bytes(&v, i, text, lengths[i]);
    }
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    expect_text(&v, 0, "a");
    while (diskalloc_strvec_len(&v) > 0)
        assert_int_equal(diskalloc_strvec_pop(&v), 0);
    diskalloc_strvec_deinit(&v);
    free(text);
}

static void many_strings_are_appended_at_once(struct test_backend *b)
{
    const uint64_t ends[] = {1, 1, 4, 4, 10}, down[] = {3, 2}, huge[] = {UINT64_MAX};
    struct diskalloc_strvec v;
    size_t len = 70000;
    char *text = malloc(len + 3);
    uint64_t with_long[3];

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    assert_int_equal(diskalloc_strvec_append(&v, "abbbcccccc", ends, 5), 0);
    assert_int_equal(diskalloc_strvec_append(&v, NULL, (uint64_t[]){0, 0}, 2), 0);
    assert_int_equal(diskalloc_strvec_append(&v, NULL, NULL, 0), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 7);
    expect_text(&v, 0, "a");
    expect_text(&v, 1, "");
    expect_text(&v, 2, "bbb");
    expect_text(&v, 4, "cccccc");
    expect_text(&v, 6, "");
    assert_non_null(text);
    memset(text, 'x', len + 3);
    text[0] = 'y';
    memcpy(with_long, (uint64_t[]){1, len + 1, len + 3}, sizeof with_long);
    assert_int_equal(diskalloc_strvec_append(&v, text, with_long, 3), 0);
    expect_text(&v, 7, "y");
    expect_bytes(&v, 8, text + 1, len);
    expect_text(&v, 9, "xx");
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_append", diskalloc_strvec_append(&v, text, down, 2));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_append", diskalloc_strvec_append(&v, NULL, ends, 5));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_append", diskalloc_strvec_append(&v, text, NULL, 5));
    EXPECT_FAILURE(-EOVERFLOW, "diskalloc_strvec_append", diskalloc_strvec_append(&v, text, huge, 1));
    assert_int_equal(diskalloc_strvec_len(&v), 10);
    free(text);
    diskalloc_strvec_deinit(&v);
}

static void strings_of_the_vector_can_be_added_to_it(struct test_backend *b)
{
    struct diskalloc_strvec v;

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    push_text(&v, "first");
    push_text(&v, "a second one");
    for (size_t i = 0; i < 10000; i++) {
        size_t n;
        const char *s = diskalloc_strvec_get(&v, i, &n);

        assert_int_equal(diskalloc_strvec_push(&v, s, n), 0);
    }
    expect_text(&v, 10000, "first");
    expect_text(&v, 10001, "a second one");
    assert_int_equal(diskalloc_strvec_set(&v, 1, diskalloc_strvec_get(&v, 1, NULL) + 2, 6), 0);
    expect_text(&v, 1, "second");
    assert_int_equal(diskalloc_strvec_set(&v, 0, diskalloc_strvec_get(&v, 1, NULL), 6), 0);
    expect_text(&v, 0, "second");
    diskalloc_strvec_deinit(&v);
}

static void popping_and_clearing_makes_room_for_others(struct test_backend *b)
{
    struct diskalloc_strvec v;
    uint64_t bytes;

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    push_text(&v, "below");
    bytes = v.bytes.len;
    for (int i = 0; i < 1000; i++) {
        push_text(&v, "above");
        assert_int_equal(diskalloc_strvec_set(&v, 1, "over", 4), 0);
        assert_int_equal(diskalloc_strvec_pop(&v), 0);
    }
    assert_int_equal(v.bytes.len, bytes);
    assert_int_equal(diskalloc_strvec_truncate(&v, 7), 0);
    assert_int_equal(diskalloc_strvec_len(&v), 1);
    assert_int_equal(diskalloc_strvec_truncate(&v, 0), 0);
    assert_int_equal(v.bytes.len, 0);
    EXPECT_FAILURE(-ENODATA, "diskalloc_strvec_pop", diskalloc_strvec_pop(&v));
    push_text(&v, "again");
    expect_text(&v, 0, "again");
    diskalloc_strvec_deinit(&v);
}

static void wrong_use_is_refused_and_changes_nothing(struct test_backend *b)
{
    struct diskalloc_strvec v, zero = {0};
    const uint64_t end = 1;
    size_t n = 77;

    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_init", diskalloc_strvec_init(&zero, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_init", diskalloc_strvec_init(NULL, b->da));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_push", diskalloc_strvec_push(&zero, "x", 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_set", diskalloc_strvec_set(&zero, 0, "x", 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_append", diskalloc_strvec_append(&zero, "x", &end, 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_pop", diskalloc_strvec_pop(&zero));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_truncate", diskalloc_strvec_truncate(&zero, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_sort", diskalloc_strvec_sort(&zero));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_compact", diskalloc_strvec_compact(&zero));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_commit", diskalloc_strvec_commit(&zero, 0));
    assert_null(diskalloc_strvec_get(&zero, 0, &n));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_get", -EINVAL);
    assert_int_equal(diskalloc_strvec_len(&zero), 0);

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    push_text(&v, "one");
    assert_null(diskalloc_strvec_get(&v, 1, &n));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_get", -EINVAL);
    assert_null(diskalloc_strvec_get(&v, SIZE_MAX, &n));
    assert_int_equal(n, 77);
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_set", diskalloc_strvec_set(&v, 1, "x", 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_set", diskalloc_strvec_set(&v, 0, NULL, 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_push", diskalloc_strvec_push(&v, NULL, 1));
    EXPECT_FAILURE(-EOVERFLOW, "diskalloc_strvec_push", diskalloc_strvec_push(&v, "x", SIZE_MAX));
    EXPECT_FAILURE(-EOVERFLOW, "diskalloc_strvec_set", diskalloc_strvec_set(&v, 0, "x", SIZE_MAX));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_commit", diskalloc_strvec_commit(&v, 64));
    assert_int_equal(diskalloc_strvec_len(&v), 1);
    expect_text(&v, 0, "one");
    v.bytes.len = v.bytes.cap + 1;
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_push", diskalloc_strvec_push(&v, "x", 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_pop", diskalloc_strvec_pop(&v));
    diskalloc_strvec_deinit(&v);
}

// Each entry is made to lead out of the bytes in another way.
static void damaged_offsets_are_never_followed(struct test_backend *b)
{
    const uint64_t damage[] = {
        UINT64_MAX,
        UINT64_MAX << LENGTH_BITS,
        strvec_entry(9, 1),       // behind the end
        strvec_entry(0, 10),      // over the end
        strvec_entry(9, 65534),   //
        strvec_entry(4, 1 << 20), // long, and the length would begin before the bytes
        strvec_entry(8, 1 << 20), // the length is that of eight letters
        (uint64_t)1 << 63,
    };
    struct diskalloc_strvec v;

    assert_int_equal(diskalloc_strvec_init(&v, b->da), 0);
    push_text(&v, "abcdefgh");
    push_text(&v, "");
    push_text(&v, "");
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        strvec_entries(&v)[1] = damage[i];
        assert_null(diskalloc_strvec_get(&v, 1, NULL));
        EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_get", -EINVAL);
        EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_sort", diskalloc_strvec_sort(&v));
        EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_compact", diskalloc_strvec_compact(&v));
        expect_text(&v, 0, "abcdefgh");
        assert_int_equal(strvec_entries(&v)[1], damage[i]);
    }
    // Strings that share bytes stay within them, and have more together than there are.
    strvec_entries(&v)[1] = strvec_entry(0, 8);
    EXPECT_FAILURE(-EINVAL, "diskalloc_strvec_compact", diskalloc_strvec_compact(&v));
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    strvec_entries(&v)[2] = UINT64_MAX;
    assert_int_equal(diskalloc_strvec_pop(&v), 0);
    assert_int_equal(v.bytes.len, 8);
    // What is damaged can be replaced.
    strvec_entries(&v)[1] = UINT64_MAX;
    assert_int_equal(diskalloc_strvec_set(&v, 1, "mended", 6), 0);
    expect_text(&v, 1, "mended");
    diskalloc_strvec_deinit(&v);
}

FOR_EACH_BACKEND(strings_come_back_as_they_were_pushed)
FOR_EACH_BACKEND(empty_strings_outlive_others)
FOR_EACH_BACKEND(strings_of_all_lengths_are_kept)
FOR_EACH_BACKEND(many_strings_are_appended_at_once)
FOR_EACH_BACKEND(strings_of_the_vector_can_be_added_to_it)
FOR_EACH_BACKEND(popping_and_clearing_makes_room_for_others)
FOR_EACH_BACKEND(wrong_use_is_refused_and_changes_nothing)
FOR_EACH_BACKEND(damaged_offsets_are_never_followed)

static void add_until_refused(struct test_backend *b, struct diskalloc_strvec *v)
{
    int e = 0;

    for (uint64_t i = 0; e == 0; i++) {
        char text[96];

        assert_true(i < 10000000);
        e = diskalloc_strvec_push(v, text, numbered(text, i));
    }
    EXPECT_FAILURE(-EDQUOT, "diskalloc_strvec_push", e);
    assert_true(usage_of(b->da).bytes <= 3 * MIB);
}

// The limit is reached by pushes, by one large string, and by many strings at once.
static void a_refusal_by_a_quota_changes_nothing(void **state)
{
    struct diskalloc_strvec v, small;
    struct test_backend b;
    uint64_t *ends = calloc(1000000, sizeof *ends), used;
    char *text = calloc(1, 4 * MIB);
    size_t n;

    (void)state;
    assert_non_null(ends);
    assert_non_null(text);
    backend_start(&b, true, "[quota default]\nbytes = 3M\n[daemon]\nkeep_free = 0\n", NULL);
    assert_int_equal(diskalloc_strvec_init(&v, b.da), 0);
    assert_int_equal(diskalloc_strvec_init(&small, b.da), 0);
    push_text(&v, "a string");
    used = usage_of(b.da).bytes;
    EXPECT_FAILURE(-EDQUOT, "diskalloc_strvec_push", diskalloc_strvec_push(&v, text, 4 * MIB));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_strvec_set", diskalloc_strvec_set(&v, 0, text, 4 * MIB));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_strvec_append", diskalloc_strvec_append(&v, "", ends, 1000000));
    ends[199999] = 2 * MIB; // the offsets fit, and the bytes do not
    EXPECT_FAILURE(-EDQUOT, "diskalloc_strvec_append", diskalloc_strvec_append(&v, text, ends, 200000));
    assert_int_equal(usage_of(b.da).bytes, used);
    assert_int_equal(diskalloc_strvec_len(&v), 1);
    expect_text(&v, 0, "a string");
    add_until_refused(&b, &v);
    n = diskalloc_strvec_len(&v);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_strvec_sort", diskalloc_strvec_sort(&v));
    assert_int_equal(diskalloc_strvec_len(&v), n);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(number_of(&v, i), i - 1);
    // Giving back works at the limit too: of what is in order without room for a copy.
    for (size_t i = 1; i < n; i += 2)
        assert_int_equal(diskalloc_strvec_set(&v, i, "", 0), 0);
    assert_int_equal(diskalloc_strvec_truncate(&v, n / 2), 0);
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    assert_true(usage_of(b.da).bytes < 2 * MIB);
    for (size_t i = 2; i < n / 2; i += 2)
        assert_int_equal(number_of(&v, i), i - 1);
    push_text(&small, "room");
    diskalloc_strvec_deinit(&v);
    diskalloc_strvec_deinit(&small);
    free(ends);
    free(text);
    backend_stop(&b);
}

// The bytes of a file of 4 GiB and more, of which only the ends are written.
static void a_string_of_4_gib_is_a_string(void **state)
{
    const uint64_t n = 4 * GIB + 5;
    struct diskalloc_region *r = NULL;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_strvec v;
    struct strvec_place place;
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    assert_int_equal(diskalloc_strvec_init(&v, b.da), 0);
    // The vector gets a sparse region for its bytes, so that the test needs no disk.
    o.flags = DISKALLOC_REGION_SPARSE;
    o.size = n + 4096;
    assert_int_equal(diskalloc_region_create(b.da, &o, &r), 0);
    diskalloc_region_close(v.bytes.region);
    v.bytes = (struct diskalloc_vec_state){diskalloc_region_data(r), 0, n + 4096, r, 0, 0, 0};
    push_text(&v, "before");
    v.bytes.len += LENGTH_SIZE + n;
    memcpy((char *)v.bytes.data + 6, &n, LENGTH_SIZE);
    memcpy((char *)v.bytes.data + 14 + n - 3, "end", 3);
    ((uint64_t *)v.offsets.data)[v.offsets.len++] = strvec_entry(14, n);
    push_text(&v, "after");
    assert_true(strvec_find(&v, strvec_entries(&v)[1], &place));
    assert_int_equal(place.n, n);
    assert_memory_equal(diskalloc_strvec_get(&v, 1, NULL) + n - 3, "end", 3);
    assert_int_equal(diskalloc_strvec_sort(&v), 0);
    expect_text(&v, 1, "after");
    assert_int_equal(diskalloc_strvec_set(&v, 0, "short", 5), 0);
    expect_text(&v, 0, "short");
    assert_int_equal(diskalloc_strvec_compact(&v), 0);
    assert_int_equal(v.bytes.len, 16);
    expect_text(&v, 1, "after");
    expect_text(&v, 2, "before");
    diskalloc_strvec_deinit(&v);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(strings_come_back_as_they_were_pushed),
        EACH_BACKEND(empty_strings_outlive_others),
        EACH_BACKEND(strings_of_all_lengths_are_kept),
        EACH_BACKEND(many_strings_are_appended_at_once),
        EACH_BACKEND(strings_of_the_vector_can_be_added_to_it),
        EACH_BACKEND(popping_and_clearing_makes_room_for_others),
        EACH_BACKEND(wrong_use_is_refused_and_changes_nothing),
        EACH_BACKEND(damaged_offsets_are_never_followed),
        TEST(a_refusal_by_a_quota_changes_nothing),
        TEST(a_string_of_4_gib_is_a_string),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
