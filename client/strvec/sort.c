// Sorting strings.
//
// Each string gets a key with its first 12 bytes, in a region of its own: most comparisons need no more, so keys are
// sorted as other elements are (client/order), also beyond memory, and the bytes of the strings are read once, in the
// order of the vector.  A key has an address, which only this process can use; the vector's entries are made from the
// sorted keys.
#include <diskalloc/order.h>

#include <assert.h>
#include <errno.h>

#include "client/diskalloc.h"
#include "client/strvec/strvec.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

enum { HEAD = 8, MIDDLE = 2, PREFIX = HEAD + 2 * MIDDLE };

// The bytes of the prefix are in the order of their value: the first one is the highest.
struct strvec_key {
    uint64_t head;
    uint64_t at_and_middle; // the address of the string; two bytes
    uint64_t n_and_middle;  // its length; two bytes
};

static uint64_t length_of(const struct strvec_key *k)
{
    return k->n_and_middle >> LENGTH_BITS;
}

static const char *text_of(const struct strvec_key *k)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a key has no room for a whole pointer
    return (const char *)(uintptr_t)(k->at_and_middle >> LENGTH_BITS);
}

static uint32_t middle_of(const struct strvec_key *k)
{
    return (uint32_t)(k->at_and_middle & 0xffff) << 16 | (uint32_t)(k->n_and_middle & 0xffff);
}

static inline int key_less(const struct strvec_key *a, const struct strvec_key *b)
{
    uint64_t n_a, n_b, n;
    int order = 0;

    if (a->head != b->head)
        return a->head < b->head;
    if (middle_of(a) != middle_of(b))
        return middle_of(a) < middle_of(b);
    n_a = length_of(a);
    n_b = length_of(b);
    n = n_a < n_b ? n_a : n_b;
    if (n > PREFIX)
        order = memcmp(text_of(a) + PREFIX, text_of(b) + PREFIX, n - PREFIX);
    return order != 0 ? order < 0 : n_a < n_b;
}

DISKALLOC_VEC_DEFINE(strvec_keys, struct strvec_key)
DISKALLOC_VEC_DEFINE_ORDER(strvec_keys, struct strvec_key, key_less)

static uint64_t number(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

static struct strvec_key make_key(const char *text, uint64_t n)
{
    unsigned char prefix[PREFIX] = {0};
    uint64_t address = (uintptr_t)text;

    memcpy(prefix, text, n < PREFIX ? n : PREFIX);
    assert(address >> (64 - LENGTH_BITS) == 0);
    return (struct strvec_key){
        .head = number(prefix, HEAD),
        .at_and_middle = address << LENGTH_BITS | number(prefix + HEAD, MIDDLE),
        .n_and_middle = n << LENGTH_BITS | number(prefix + HEAD + MIDDLE, MIDDLE),
    };
}

static int make_keys(const struct diskalloc_strvec *v, struct strvec_key *keys)
{
    const uint64_t *entries = strvec_entries(v);

    for (uint64_t i = 0, n = strvec_count(v); i < n; i++) {
        struct strvec_place place;

        if (!strvec_find(v, entries[i], &place))
            return error_why(-EINVAL, "string %llu is damaged: it would lie beyond the bytes", (unsigned long long)i);
        keys[i] = make_key((const char *)v->bytes.data + place.at, place.n);
    }
    return 0;
}

static void store_order(struct diskalloc_strvec *v, const struct strvec_key *keys)
{
    uint64_t *shadow = strvec_shadow(v);

    for (uint64_t i = 0, n = strvec_count(v); i < n; i++)
        shadow[i] = strvec_entry((uint64_t)(text_of(keys + i) - (const char *)v->bytes.data), length_of(keys + i));
    strvec_publish(v, HEADER_ENTRIES + strvec_count(v));
    strvec_settle(v);
}

static int commit_if_persistent(struct diskalloc_strvec *v, const char *call)
{
    return strvec_persists(v) ? strvec_commit(v, 0, call) : 0;
}

// All that can be refused comes before the first change.
static int sort(struct diskalloc_strvec *v, struct diskalloc_vec_state *keys, const char *call)
{
    uint64_t n = strvec_count(v), size = diskalloc_region_size(v->offsets.region);
    int e = make_keys(v, keys->data);

    if (e == 0)
        e = strvec_make_room(v, 0, n, call);
    if (e < 0)
        return e;
    e = diskalloc_vec_sort(keys->region, n, keys->cap, diskalloc_vec_strvec_keys_order(), call);
    if (e == 0)
        e = commit_if_persistent(v, call);
    if (e == 0)
        store_order(v, keys->data);
    strvec_give_back(v, diskalloc_region_size(v->bytes.region), size);
    return e;
}

int diskalloc_strvec_sort(struct diskalloc_strvec *v)
{
    static const char call[] = "diskalloc_strvec_sort";
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_vec_state keys;
    int e;

    error_begin(call);
    e = strvec_check_writable(v);
    if (e < 0 || strvec_count(v) < 2)
        return error_end(e);
    if (!checked_mul(strvec_count(v), sizeof(struct strvec_key), &o.size))
        return error_end(error_why(-EOVERFLOW, "%llu strings", (unsigned long long)strvec_count(v)));
    keys = diskalloc_vec_init_with(v->offsets.region->da, &o, sizeof(struct strvec_key), call);
    e = keys.result;
    if (e == 0)
        e = sort(v, &keys, call);
    if (keys.region)
        region_close(keys.region);
    return error_end(e);
}
