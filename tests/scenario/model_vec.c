// A vector on disk against an array in memory: a long random walk through all that a vector can do.
#include "tests/lib/test_backend.h"

struct item {
    uint32_t part[3]; // does not divide a page
};

DISKALLOC_VEC_DEFINE(items, struct item)

enum { MODEL_MAX = 20000, STEPS = SANITIZED ? 100000 : 1000000 };

struct walk {
    struct test_backend *b;
    struct items v;
    struct item *model;
    size_t len, step;
    uint64_t seed, state;
    bool named;
};

#define AGREE(w, condition)                                                                                            \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("DISKALLOC_TEST_SEED=%llu, step %zu: not so: %s (last error: %s)", (unsigned long long)(w)->seed, \
                     (w)->step, #condition, diskalloc_last_error());                                                   \
    } while (0)

static uint64_t next_random(struct walk *w)
{
    w->state ^= w->state << 13;
    w->state ^= w->state >> 7;
    w->state ^= w->state << 17;
    return w->state;
}

static size_t random_below(struct walk *w, size_t n)
{
    return n ? next_random(w) % n : 0;
}

static struct item random_item(struct walk *w)
{
    uint64_t r = next_random(w);

    return (struct item){{(uint32_t)r, (uint32_t)(r >> 32), (uint32_t)w->step}};
}

static bool same(const struct item *a, const struct item *b, size_t n)
{
    return n == 0 || memcmp(a, b, n * sizeof(*a)) == 0;
}

static void check_all(struct walk *w)
{
    AGREE(w, w->v.len == w->len);
    AGREE(w, w->v.cap >= w->v.len);
    AGREE(w, same(w->v.data, w->model, w->len));
    AGREE(w, diskalloc_region_size(w->v.region) >= w->v.cap * sizeof(struct item));
}

static void do_push(struct walk *w)
{
    struct item item = random_item(w);

    if (w->len == MODEL_MAX)
        return;
    AGREE(w, items_push(&w->v, item) == 0);
    w->model[w->len++] = item;
}

static void do_pop(struct walk *w)
{
    struct item item;
    int code = items_pop(&w->v, &item);

    AGREE(w, code == (w->len ? 0 : -ENODATA));
    if (code == 0)
        AGREE(w, same(&item, &w->model[--w->len], 1));
}

static void do_insert(struct walk *w)
{
    size_t i = random_below(w, w->len + 1);
    struct item item = random_item(w);

    if (w->len == MODEL_MAX)
        return;
    AGREE(w, items_insert(&w->v, i, item) == 0);
    memmove(&w->model[i + 1], &w->model[i], (w->len - i) * sizeof(item));
    w->model[i] = item;
    w->len++;
}

static void do_remove(struct walk *w)
{
    size_t i = random_below(w, w->len);
    struct item item;

    if (w->len == 0)
        return;
    AGREE(w, items_remove(&w->v, i, &item) == 0);
    AGREE(w, same(&item, &w->model[i], 1));
    w->len--;
    memmove(&w->model[i], &w->model[i + 1], (w->len - i) * sizeof(item));
}

static void do_swap_remove(struct walk *w)
{
    size_t i = random_below(w, w->len);
    struct item item;

    if (w->len == 0)
        return;
    AGREE(w, items_swap_remove(&w->v, i, next_random(w) % 2 ? &item : NULL) == 0);
    w->model[i] = w->model[--w->len];
}

static void do_reserve(struct walk *w)
{
    size_t n = random_below(w, MODEL_MAX / 4), cap = w->v.cap;

    AGREE(w, items_reserve(&w->v, n) == 0);
    AGREE(w, w->v.cap >= w->len + n);
    AGREE(w, w->v.cap >= cap);
}

static void do_shrink(struct walk *w)
{
    AGREE(w, items_shrink_to_fit(&w->v) == 0);
    check_all(w);
}

static void do_truncate(struct walk *w)
{
    size_t len = w->len - random_below(w, w->len / 8 + 1), cap = w->v.cap;

    AGREE(w, items_truncate(&w->v, len) == 0);
    AGREE(w, w->v.cap == cap);
    w->len = len;
}

static void do_resize(struct walk *w)
{
    size_t len = w->len + random_below(w, 300);

    if (len > MODEL_MAX)
        len = random_below(w, MODEL_MAX);
    AGREE(w, items_resize(&w->v, len) == 0);
    if (len > w->len)
        memset(&w->model[w->len], 0, (len - w->len) * sizeof(struct item));
    w->len = len;
}

static void do_extend(struct walk *w)
{
    struct item some[50];
    size_t n = random_below(w, 51);

    if (w->len + n > MODEL_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        some[i] = random_item(w);
    AGREE(w, items_extend(&w->v, some, n) == 0);
    memcpy(&w->model[w->len], some, n * sizeof(*some));
    w->len += n;
}

static void do_append_uninit(struct walk *w)
{
    size_t n = random_below(w, 51);
    struct item *some = NULL;

    if (w->len + n > MODEL_MAX)
        return;
    AGREE(w, items_append_uninit(&w->v, n, &some) == 0);
    AGREE(w, n == 0 || some == w->v.data + w->len);
    for (size_t i = 0; i < n; i++)
        w->model[w->len + i] = some[i] = random_item(w);
    w->len += n;
}

static void do_fill_capacity(struct walk *w)
{
    while (w->len < MODEL_MAX && w->v.len < w->v.cap && next_random(w) % 16) {
        w->model[w->len] = random_item(w);
        w->v.data[w->v.len++] = w->model[w->len++];
    }
}

static void do_move(struct walk *w)
{
    struct items moved;

    memcpy(&moved, &w->v, sizeof(moved));
    memset(&w->v, 0xee, sizeof(w->v));
    memcpy(&w->v, &moved, sizeof(moved));
}

static void do_commit_and_reopen(struct walk *w)
{
    struct diskalloc_region *r = NULL;

    if (!w->named)
        return;
    AGREE(w, items_commit(&w->v, 0) == 0);
    items_deinit(&w->v);
    AGREE(w, open_named(w->b->da, "walk", 0, 0, &r) == 0);
    AGREE(w, diskalloc_region_used(r) == w->len * sizeof(struct item));
    AGREE(w, items_init_region(&w->v, r) == 0);
    check_all(w);
}

static void do_wrong_things(struct walk *w)
{
    struct item item = random_item(w);

    AGREE(w, items_insert(&w->v, w->len + 1, item) == -EINVAL);
    AGREE(w, items_remove(&w->v, w->len, &item) == -EINVAL);
    AGREE(w, items_swap_remove(&w->v, w->len, NULL) == -EINVAL);
    AGREE(w, items_reserve(&w->v, SIZE_MAX / 4) == -EOVERFLOW);
    AGREE(w, w->v.len == w->len);
}

// Chances in 10,000.
static const struct {
    void (*fn)(struct walk *w);
    unsigned weight;
} moves[] = {
    {do_push, 4000},         {do_pop, 1700},          {do_insert, 900},
    {do_remove, 900},        {do_swap_remove, 700},   {do_reserve, 300},
    {do_shrink, 30},         {do_truncate, 15},       {do_resize, 40},
    {do_extend, 200},        {do_append_uninit, 200}, {do_move, 500},
    {do_fill_capacity, 200}, {do_wrong_things, 300},  {do_commit_and_reopen, 15},
};

static void take_a_step(struct walk *w)
{
    unsigned total = 0, at;

    for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++)
        total += moves[i].weight;
    at = (unsigned)random_below(w, total);
    for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
        if (at < moves[i].weight) {
            moves[i].fn(w);
            break;
        }
        at -= moves[i].weight;
    }
}

static void take_a_walk(struct test_backend *b, bool named, size_t steps)
{
    const char *seed = getenv("DISKALLOC_TEST_SEED");
    struct walk w = {.b = b, .named = named, .seed = seed ? strtoull(seed, NULL, 0) : 20240229};
    struct diskalloc_region *r = NULL;
    void *base;

    w.state = w.seed ? w.seed : 1;
    w.model = calloc(MODEL_MAX, sizeof(*w.model));
    assert_non_null(w.model);
    if (named)
        assert_int_equal(open_named(b->da, "walk", 0, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
    assert_int_equal(named ? items_init_region(&w.v, r) : items_init(&w.v, b->da), 0);
    base = diskalloc_region_data(w.v.region);
    for (w.step = 0; w.step < steps; w.step++) {
        take_a_step(&w);
        AGREE(&w, w.v.len == w.len);
        if (!named)
            AGREE(&w, (void *)w.v.data == base);
        if (w.step % 1000 == 0)
            check_all(&w);
    }
    check_all(&w);
    items_deinit(&w.v);
    free(w.model);
    if (named)
        assert_int_equal(diskalloc_region_unlink(b->da, "walk"), 0);
}

static void a_long_random_walk_on_a_named_region_agrees_with_an_array(struct test_backend *b)
{
    take_a_walk(b, true, STEPS);
}
FOR_EACH_BACKEND(a_long_random_walk_on_a_named_region_agrees_with_an_array)

static void a_random_walk_on_an_anonymous_region_never_moves_it(struct test_backend *b)
{
    take_a_walk(b, false, STEPS / 10);
}
FOR_EACH_BACKEND(a_random_walk_on_an_anonymous_region_never_moves_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_long_random_walk_on_a_named_region_agrees_with_an_array),
        EACH_BACKEND(a_random_walk_on_an_anonymous_region_never_moves_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
