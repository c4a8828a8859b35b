// Vectors of strings against an array of the same strings: changes at random, empty and long strings among them,
// anonymous and with a name, which is closed and opened now and then.
#include "client/strvec/strvec.h"
#include "tests/lib/strings.h"

enum { MOST = 40, STEPS = 6000, LONGEST = 70000 };

struct model {
    struct test_backend *b;
    bool named;
    unsigned random;
    char *text;          // of LONGEST letters, each another one than its neighbours
    size_t length[MOST]; // string I is that many letters of text
    size_t from[MOST];   // from there on
    size_t n;
};

static unsigned draw(struct model *m, unsigned below)
{
    m->random = m->random * 1103515245 + 12345;
    return (m->random >> 16) % below;
}

static const char *draw_string(struct model *m, size_t i)
{
    static const size_t lengths[] = {0, 0, 0, 1, 2, 3, 20, 300, 65534, 65535, 65536};

    m->length[i] = lengths[draw(m, sizeof lengths / sizeof *lengths)];
    m->from[i] = draw(m, LONGEST - 65536);
    return m->text + m->from[i];
}

static void expect_model(const struct diskalloc_strvec *v, const struct model *m)
{
    assert_int_equal(diskalloc_strvec_len(v), m->n);
    for (size_t i = 0; i < m->n; i++)
        expect_bytes(v, i, m->text + m->from[i], m->length[i]);
}

static bool goes_first(const struct model *m, size_t a, size_t b)
{
    size_t n = m->length[a] < m->length[b] ? m->length[a] : m->length[b];
    int order = memcmp(m->text + m->from[a], m->text + m->from[b], n);

    return order < 0 || (order == 0 && m->length[a] < m->length[b]);
}

static void swap(size_t *a, size_t *b)
{
    size_t kept = *a;

    *a = *b;
    *b = kept;
}

static void sort_model(struct model *m)
{
    for (size_t i = 1; i < m->n; i++)
        for (size_t k = i; k > 0 && goes_first(m, k, k - 1); k--) {
            swap(&m->length[k], &m->length[k - 1]);
            swap(&m->from[k], &m->from[k - 1]);
        }
}

static void begin(struct model *m, struct diskalloc_strvec *v)
{
    if (m->named)
        open_strings(m->b, v, "model");
    else
        assert_int_equal(diskalloc_strvec_init(v, m->b->da), 0);
}

static void change(struct model *m, struct diskalloc_strvec *v)
{
    unsigned choice = draw(m, 100);
    const char *text;
    size_t i;

    if (choice < 40 && m->n < MOST) {
        text = draw_string(m, m->n);
        assert_int_equal(diskalloc_strvec_push(v, text, m->length[m->n]), 0);
        m->n++;
    } else if (choice < 65 && m->n > 0) {
        assert_int_equal(diskalloc_strvec_pop(v), 0);
        m->n--;
    } else if (choice < 85 && m->n > 0) {
        i = draw(m, (unsigned)m->n);
        text = draw_string(m, i);
        assert_int_equal(diskalloc_strvec_set(v, i, text, m->length[i]), 0);
    } else if (choice < 88) {
        m->n = draw(m, (unsigned)m->n + 1);
        assert_int_equal(diskalloc_strvec_truncate(v, m->n), 0);
    } else if (choice < 92) {
        assert_int_equal(diskalloc_strvec_sort(v), 0);
        sort_model(m);
    } else if (choice < 95) {
        assert_int_equal(diskalloc_strvec_compact(v), 0);
    } else if (m->named && choice < 97) {
        assert_int_equal(diskalloc_strvec_commit(v, 0), 0);
    } else if (m->named) {
        diskalloc_strvec_deinit(v);
        begin(m, v);
    }
}

static void run(struct test_backend *b, bool named)
{
    struct model m = {.b = b, .named = named, .random = 1, .text = malloc(LONGEST)};
    struct diskalloc_strvec v;

    assert_non_null(m.text);
    for (size_t i = 0; i < LONGEST; i++)
        m.text[i] = (char)('a' + draw(&m, 26));
    begin(&m, &v);
    for (int i = 0; i < STEPS; i++) {
        change(&m, &v);
        expect_model(&v, &m);
    }
    diskalloc_strvec_deinit(&v);
    if (named)
        unlink_strings(b, "model");
    free(m.text);
}

static void an_anonymous_vector_has_the_strings_of_an_array(struct test_backend *b)
{
    run(b, false);
}

static void a_vector_with_a_name_has_the_strings_of_an_array(struct test_backend *b)
{
    run(b, true);
}

FOR_EACH_BACKEND(an_anonymous_vector_has_the_strings_of_an_array)
FOR_EACH_BACKEND(a_vector_with_a_name_has_the_strings_of_an_array)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(an_anonymous_vector_has_the_strings_of_an_array),
        EACH_BACKEND(a_vector_with_a_name_has_the_strings_of_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
