// The parts of the script about strings and about a heap of small blocks.
#include <diskalloc/heap.h>
#include <diskalloc/strvec.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/script.h"

enum { N_STRINGS = 20000, N_KEPT = 4000, LONGEST = 70000, SHORTEST = 15, N_BLOCKS = 3000, N_NODES = 2000 };

// Their order is known, and each says which one it is.
static size_t make_string(uint64_t i, char ret[LONGEST + 1])
{
    size_t n = i % 3000 == 2999 ? LONGEST : SHORTEST + i * 7 % 60;

    memset(ret, (int)('a' + i % 26), n);
    snprintf(ret, SHORTEST + 1, "%08x-%06u", (unsigned)(i * 2654435761u), (unsigned)i % 1000000);
    ret[SHORTEST] = n > SHORTEST ? 'x' : '\0';
    return n;
}

static bool is_string(const char *text, size_t n, uint64_t *ret)
{
    static char wanted[LONGEST + 1];
    char number[7] = "";

    if (!text || n < SHORTEST)
        return false;
    memcpy(number, text + 9, 6); // there is no NUL behind a string
    *ret = strtoull(number, NULL, 10);
    return make_string(*ret, wanted) == n && memcmp(wanted, text, n) == 0;
}

// Returns how many strings are in V.
static size_t push_strings(struct script *s, struct diskalloc_strvec *v, size_t n)
{
    static char text[LONGEST + 1];

    for (size_t i = 0; i < n; i++) {
        size_t length = make_string(i, text);
        int r = diskalloc_strvec_push(v, text, length);

        if (r == 0)
            continue;
        script_succeeded(s, "strvec_push", r);
        if (diskalloc_strvec_len(v) != i)
            script_complain(s, "a push that failed changed the length");
        r = diskalloc_strvec_push(v, text, length);
        if (r == 0)
            continue;
        if (script_must_succeed(s))
            script_complain(s, "strvec_push: %d when the fault is gone: %s", r, diskalloc_last_error());
        return i;
    }
    return n;
}

// SORTED or in the order in which they were pushed.
static void check_strings(struct script *s, const struct diskalloc_strvec *v, size_t n, bool sorted, const char *when)
{
    uint64_t sum = 0, which = 0;
    const char *before = NULL;

    if (diskalloc_strvec_len(v) != n)
        script_complain(s, "%s: %zu strings instead of %zu", when, diskalloc_strvec_len(v), n);
    for (size_t i = 0; i < n; i++) {
        size_t length = 0;
        const char *text = diskalloc_strvec_get(v, i, &length);

        if (!is_string(text, length, &which) || (!sorted && which != i) ||
            (sorted && before && memcmp(before, text, 8) > 0)) {
            script_complain(s, "%s: string %zu is lost", when, i);
            return;
        }
        before = text;
        sum += which;
    }
    if (n > 0 && sum != (uint64_t)n * (n - 1) / 2)
        script_complain(s, "%s: strings are there twice", when);
}

static void append_strings(struct script *s, struct diskalloc_strvec *v)
{
    static const char text[] = "0123456789";
    const uint64_t ends[] = {0, 3, 3, 10};
    size_t n = diskalloc_strvec_len(v);
    int r = diskalloc_strvec_append(v, text, ends, 4);

    if (!script_succeeded(s, "strvec_append", r)) {
        if (diskalloc_strvec_len(v) != n)
            script_complain(s, "an append that failed changed the length");
        return;
    }
    if (script_succeeded(s, "strvec_set", diskalloc_strvec_set(v, n + 1, text, 10))) {
        size_t length = 0;
        const char *got = diskalloc_strvec_get(v, n + 1, &length);

        if (!got || length != 10 || memcmp(got, text, 10) != 0)
            script_complain(s, "a string that was set is another one");
    }
    script_succeeded(s, "strvec_pop", diskalloc_strvec_pop(v));
    script_succeeded(s, "strvec_truncate", diskalloc_strvec_truncate(v, n));
}

static void check_anonymous_strings(struct script *s)
{
    struct diskalloc_strvec v;
    bool sorted;
    size_t n;

    if (!REPEATED(s, "strvec_init", diskalloc_strvec_init(&v, s->da)))
        return;
    n = push_strings(s, &v, N_STRINGS);
    append_strings(s, &v);
    check_strings(s, &v, n, false, "after pushes");
    sorted = script_succeeded(s, "strvec_sort", diskalloc_strvec_sort(&v));
    check_strings(s, &v, n, sorted, "after a sort");
    script_succeeded(s, "strvec_compact", diskalloc_strvec_compact(&v));
    check_strings(s, &v, n, sorted, "after a compaction");
    diskalloc_strvec_deinit(&v);
}

static const char *name_of(const struct script *s, const char *what, char ret[100])
{
    snprintf(ret, 100, "%s-%s", s->prefix, what);
    return ret;
}

void script_strings(struct script *s)
{
    struct contents *p = &s->report->strings;
    struct diskalloc_strvec v;
    char name[100];
    size_t n;

    script_begin(s, "strings");
    check_anonymous_strings(s);
    script_begin(s, "strings with a name");
    p->state = PROMISE_UNSURE;
    if (!REPEATED(s, "strvec_open",
                  diskalloc_strvec_open(&v, s->da, name_of(s, "strings", name), DISKALLOC_REGION_CREATE)))
        return;
    p->state = PROMISE_THERE;
    n = push_strings(s, &v, N_KEPT);
    p->other = n;
    if (REPEATED(s, "strvec_commit", diskalloc_strvec_commit(&v, DISKALLOC_DURABLE)))
        p->n = n;
    diskalloc_strvec_deinit(&v);
    script_begin(s, "strings opened again");
    if (!REPEATED(s, "strvec_open", diskalloc_strvec_open(&v, s->da, name, 0)))
        return;
    if (p->n == n || diskalloc_strvec_len(&v) != 0)
        check_strings(s, &v, n, false, "opened again");
    p->n = n = diskalloc_strvec_len(&v);
    // What failed has changed nothing, and what the process did not commit is done by deinit.
    if (script_succeeded(s, "strvec_set", n > 0 ? diskalloc_strvec_set(&v, 0, "00000000-000000", SHORTEST) : 0))
        check_strings(s, &v, n, false, "after a set");
    diskalloc_strvec_deinit(&v);
}

static void verify_strings(struct script *s)
{
    const struct contents *p = &s->report->strings;
    char name[100], bytes[110];
    struct diskalloc_strvec v;
    size_t n;
    int r;

    if (p->state == PROMISE_NONE || p->state == PROMISE_GONE)
        return;
    name_of(s, "strings", name);
    snprintf(bytes, sizeof bytes, "%s.bytes", name);
    // Where nobody knows whether they were made, they are made, or made anew.
    r = diskalloc_strvec_open(&v, s->da, name, p->state == PROMISE_THERE ? 0 : DISKALLOC_REGION_CREATE);
    if (r < 0) {
        script_complain(s, "%s: open says %d: %s", name, r, diskalloc_last_error());
        return;
    }
    n = diskalloc_strvec_len(&v);
    if (n != p->n && n != p->other)
        script_complain(s, "%s: %zu strings instead of %zu or %zu", name, n, p->n, p->other);
    check_strings(s, &v, n, false, name);
    diskalloc_strvec_deinit(&v);
    if (diskalloc_region_unlink(s->da, name) < 0 || diskalloc_region_unlink(s->da, bytes) < 0)
        script_complain(s, "%s: unlink says: %s", name, diskalloc_last_error());
}

struct node {
    uint64_t before, number; // before: an offset
    char rest[];
};

static void *allocate(struct script *s, struct diskalloc_heap *h, size_t size)
{
    void *block = diskalloc_heap_malloc(h, size);

    if (!script_succeeded(s, "heap_malloc", block ? 0 : -errno))
        block = diskalloc_heap_malloc(h, size);
    if (!block && script_must_succeed(s))
        script_complain(s, "heap_malloc: errno %d when the fault is gone: %s", errno, diskalloc_last_error());
    return block;
}

// Blocks of all sizes; the last ones are large, so that much is given back when they are freed.
static size_t size_of_block(size_t i)
{
    return i % 100 == 99 ? 200000 + i : 16 + i * 37 % 3000;
}

static void check_anonymous_heap(struct script *s)
{
    static char *blocks[N_BLOCKS];
    struct diskalloc_heap *h;
    size_t n = 0;

    if (!REPEATED(s, "heap_new", diskalloc_heap_new(s->da, &h)))
        return;
    for (size_t i = 0; i < N_BLOCKS && (blocks[i] = allocate(s, h, size_of_block(i))); n = ++i)
        memset(blocks[i], (int)(i % 251), size_of_block(i));
    for (size_t i = 0; i < n; i += 7) {
        char *moved = diskalloc_heap_realloc(h, blocks[i], 2 * size_of_block(i));

        if (script_succeeded(s, "heap_realloc", moved ? 0 : -errno))
            blocks[i] = moved;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < size_of_block(i); k++)
            if ((unsigned char)blocks[i][k] != i % 251) {
                script_complain(s, "a byte of block %zu is lost", i);
                break;
            }
        diskalloc_heap_free(h, blocks[i]);
    }
    diskalloc_heap_close(h);
}

static int open_heap(struct script *s, uint32_t flags, struct diskalloc_heap **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *region = NULL;
    char name[100];
    int r;

    o.flags = flags;
    r = diskalloc_region_open(s->da, name_of(s, "heap", name), &o, &region);
    if (r == 0)
        r = diskalloc_heap_open(region, ret);
    if (r < 0)
        diskalloc_region_close(region);
    return r;
}

static void check_list(struct script *s, const struct diskalloc_heap *h, size_t least)
{
    const struct node *n = diskalloc_heap_root(h);
    uint64_t number = n ? n->number : 0;

    if (number < least)
        script_complain(s, "the list has %llu nodes instead of %zu", (unsigned long long)number, least);
    for (; n; n = DISKALLOC_HEAP_POINTER(h, n->before)) {
        if (n->number != number-- || (diskalloc_heap_usable_size(h, n) < sizeof *n)) {
            script_complain(s, "the list is broken at node %llu", (unsigned long long)number + 1);
            return;
        }
    }
    if (number != 0)
        script_complain(s, "the list ends at node %llu", (unsigned long long)number);
}

void script_heap(struct script *s)
{
    struct contents *p = &s->report->heap;
    struct node *last = NULL, *n;
    struct diskalloc_heap *h;
    char name[100];
    int r;

    script_begin(s, "a heap");
    check_anonymous_heap(s);
    script_begin(s, "a heap with a name");
    p->state = PROMISE_UNSURE;
    if (!REPEATED(s, "heap_open", open_heap(s, DISKALLOC_REGION_CREATE, &h)))
        return;
    p->state = PROMISE_THERE;
    for (uint64_t i = 1; i <= N_NODES && (n = allocate(s, h, sizeof *n + i % 700)); i++) {
        n->before = DISKALLOC_HEAP_OFFSET(h, last);
        n->number = i;
        if (!script_succeeded(s, "heap_set_root", diskalloc_heap_set_root(h, n)))
            break;
        last = n;
        p->n = i;
        diskalloc_heap_free(h, diskalloc_heap_malloc(h, 100 * i));
    }
    check_list(s, h, p->n);
    diskalloc_heap_close(h);
    script_begin(s, "a heap opened again");
    if (!REPEATED(s, "heap_open", open_heap(s, 0, &h)))
        return;
    check_list(s, h, p->n);
    diskalloc_heap_close(h);
    p->state = PROMISE_UNSURE;
    r = diskalloc_region_unlink(s->da, name_of(s, "heap", name));
    if (!script_succeeded(s, "unlink", r))
        r = diskalloc_region_unlink(s->da, name);
    if (r == 0 || r == -ENOENT) // the first try may have been done
        p->state = PROMISE_GONE;
}

static void verify_heap(struct script *s)
{
    const struct contents *p = &s->report->heap;
    struct diskalloc_heap *h;
    char name[100];
    int r;

    if (p->state == PROMISE_NONE || p->state == PROMISE_GONE)
        return;
    r = open_heap(s, p->state == PROMISE_THERE ? 0 : DISKALLOC_REGION_CREATE, &h);
    if (r < 0) {
        script_complain(s, "the heap: open says %d: %s", r, diskalloc_last_error());
        return;
    }
    // An unlink whose reply was lost may have been done: then the heap is a new one.
    check_list(s, h, p->state == PROMISE_THERE || diskalloc_heap_root(h) ? p->n : 0);
    diskalloc_heap_close(h);
    if (diskalloc_region_unlink(s->da, name_of(s, "heap", name)) < 0)
        script_complain(s, "the heap: unlink says: %s", diskalloc_last_error());
}

void script_verify_blocks(struct script *s)
{
    verify_strings(s);
    verify_heap(s);
}
