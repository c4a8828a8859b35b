// Vectors of strings, whose contents say whether they are right.
#pragma once
#include "tests/lib/test_backend.h"

#include <diskalloc/strvec.h>

static inline void open_strings(struct test_backend *b, struct diskalloc_strvec *v, const char *name)
{
    assert_int_equal(diskalloc_strvec_open(v, b->da, name, DISKALLOC_REGION_CREATE), 0);
}

static inline void unlink_strings(struct test_backend *b, const char *name)
{
    char bytes[256];

    snprintf(bytes, sizeof bytes, "%s.bytes", name);
    assert_int_equal(diskalloc_region_unlink(b->da, name), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, bytes), 0);
}

static inline void push_text(struct diskalloc_strvec *v, const char *text)
{
    assert_int_equal(diskalloc_strvec_push(v, text, strlen(text)), 0);
}

static inline void expect_bytes(const struct diskalloc_strvec *v, size_t i, const char *bytes, size_t n)
{
    size_t got = SIZE_MAX;
    const char *s = diskalloc_strvec_get(v, i, &got);

    assert_non_null(s);
    assert_int_equal(got, n);
    assert_true(n == 0 || memcmp(s, bytes, n) == 0);
}

static inline void expect_text(const struct diskalloc_strvec *v, size_t i, const char *text)
{
    expect_bytes(v, i, text, strlen(text));
}

// A number, a colon, and the number modulo 50 times the same letter.
static inline size_t numbered(char ret[static 96], uint64_t number)
{
    int n = snprintf(ret, 32, "%llu:", (unsigned long long)number);

    memset(ret + n, 'a' + (int)(number % 26), number % 50);
    return (size_t)n + number % 50;
}

static inline void push_numbered(struct diskalloc_strvec *v, uint64_t from, uint64_t to)
{
    char text[96];

    for (uint64_t i = from; i < to; i++)
        assert_int_equal(diskalloc_strvec_push(v, text, numbered(text, i)), 0);
}

// The number that string I is made of; the test fails unless the whole string is.
static inline uint64_t number_of(const struct diskalloc_strvec *v, size_t i)
{
    char text[96];
    size_t n = 0;
    const char *s = diskalloc_strvec_get(v, i, &n);
    uint64_t number = 0;

    assert_non_null(s);
    for (size_t k = 0; k < n && s[k] != ':'; k++)
        number = number * 10 + (uint64_t)(s[k] - '0');
    expect_bytes(v, i, text, numbered(text, number));
    return number;
}
