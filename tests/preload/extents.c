// The extents of a range, against an array that has the state of each byte.
#include "tests/lib/harness.h"

#include "client/preload/extents.h"

enum { BYTES = 600, ROUNDS = 20000, FREE = 1 << EXTENT_BLANK | 1 << EXTENT_DIRTY };

static uint64_t seed = 4711;

static uint64_t draw(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

static void assert_same(const struct extents *e, const uint8_t *model)
{
    uint64_t at = 0, bytes[EXTENT_STATE_N] = {0};

    for (size_t i = 0; i < e->n; i++) {
        const struct extent *x = &e->items[i];

        assert_int_equal(x->offset, at);
        assert_true(x->length > 0);
        assert_true(i == 0 || e->items[i - 1].state != x->state);
        for (uint64_t end = at + x->length; at < end; at++) {
            assert_int_equal(model[at], x->state);
            assert_int_equal(extents_at(e, at), i);
        }
        bytes[x->state] += x->length;
    }
    assert_int_equal(at, BYTES);
    assert_memory_equal(bytes, e->bytes, sizeof bytes);
}

static bool model_are(const uint8_t *model, uint64_t at, uint64_t length, unsigned states)
{
    for (uint64_t i = at; i < at + length; i++)
        if (!(states >> model[i] & 1))
            return false;
    return true;
}

static bool model_find(const uint8_t *model, uint64_t length, uint64_t base, uint64_t align, unsigned states,
                       uint64_t *ret)
{
    for (*ret = 0; *ret + length <= BYTES; ++*ret)
        if ((base + *ret) % align == 0 && model_are(model, *ret, length, states))
            return true;
    return false;
}

static void random_changes_and_searches_do_as_an_array_of_bytes(void **state)
{
    uint8_t model[BYTES] = {0};
    struct extents e;

    (void)state;
    assert_int_equal(extents_init(&e, BYTES), 0);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t offset = draw(BYTES), length = draw(2) ? draw(BYTES - offset + 1) : draw(20) % (BYTES - offset + 1);
        uint64_t align = 1u << draw(6), base = draw(1000), expected, found;
        enum extent_state s = (enum extent_state)draw(EXTENT_STATE_N);
        unsigned states = (unsigned)draw(1 << EXTENT_STATE_N);
        bool is_there;

        assert_int_equal(extents_set(&e, offset, length, s), 0);
        memset(model + offset, (int)s, length);
        assert_same(&e, model);
        length = 1 + draw(80);
        is_there = model_find(model, length, base, align, states, &expected);
        assert_int_equal(extents_find(&e, length, base, align, states, &found), is_there);
        if (is_there)
            assert_int_equal(found, expected);
        offset = draw(BYTES);
        length = draw(BYTES - offset + 1);
        assert_int_equal(extents_are(&e, offset, length, states), model_are(model, offset, length, states));
    }
    extents_deinit(&e);
}

static void bytes_outside_of_the_range_are_not_free(void **state)
{
    struct extents e;
    uint64_t found;

    (void)state;
    assert_int_equal(extents_init(&e, BYTES), 0);
    assert_false(extents_are(&e, BYTES - 1, 2, FREE));
    assert_false(extents_are(&e, UINT64_MAX, 2, FREE));
    assert_false(extents_find(&e, BYTES + 1, 0, 1, FREE, &found));
    assert_false(extents_find(&e, UINT64_MAX, 0, 1, FREE, &found));
    assert_true(extents_find(&e, BYTES, 0, 1, FREE, &found));
    extents_deinit(&e);
    assert_int_equal(extents_init(&e, 0), 0);
    assert_false(extents_find(&e, 1, 0, 1, FREE, &found));
    extents_deinit(&e);
}

static void what_was_cut_into_pieces_becomes_one_again(void **state)
{
    struct extents e;

    (void)state;
    assert_int_equal(extents_init(&e, BYTES), 0);
    for (uint64_t i = 0; i < BYTES; i += 2)
        assert_int_equal(extents_set(&e, i, 1, EXTENT_USED), 0);
    assert_int_equal(e.n, BYTES);
    for (uint64_t i = 0; i < BYTES; i += 2)
        assert_int_equal(extents_set(&e, i, 1, EXTENT_BLANK), 0);
    assert_int_equal(e.n, 1);
    extents_deinit(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_changes_and_searches_do_as_an_array_of_bytes),
        TEST(bytes_outside_of_the_range_are_not_free),
        TEST(what_was_cut_into_pieces_becomes_one_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
