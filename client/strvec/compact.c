// Giving back bytes that no string has.
//
// Four cases, by what is to be done: nothing lies between strings, so the capacity goes; only the end is free, and is
// cut; an anonymous vector's strings lie in order, and are moved down one after the other; or the strings are copied
// behind all bytes, where a crash finds the old ones or the new ones, and then, as a whole, to the front: what lies
// between is never more than what was there.
#include <errno.h>

#include "client/region/region.h"
#include "client/strvec/strvec.h"
#include "client/util/error.h"

enum { PROBE = 4096 };

struct shape {
    uint64_t live; // bytes of strings
    uint64_t end;  // of the string that lies last
    bool in_order;
};

static int measure(const struct diskalloc_strvec *v, struct shape *ret)
{
    const uint64_t *entries = strvec_entries(v);
    struct shape s = {.in_order = true};
    uint64_t before = 0;

    for (uint64_t i = 0, n = strvec_count(v); i < n; i++) {
        struct strvec_place place;

        if (!strvec_find(v, entries[i], &place))
            return error_why(-EINVAL, "string %llu is damaged: it would lie beyond the bytes", (unsigned long long)i);
        if (place.n == 0) // no bytes, and so no place among the others
            continue;
        s.in_order = s.in_order && place.start >= before;
        before = place.at + place.n;
        s.live += before - place.start;
        s.end = s.end > before ? s.end : before;
    }
    // Entries that share bytes: a copy would have more than there were.
    if (s.live > v->bytes.len)
        return error_why(-EINVAL, "damaged: strings of %llu bytes in %llu", (unsigned long long)s.live,
                         (unsigned long long)v->bytes.len);
    *ret = s;
    return 0;
}

// Others who have the vector open would see their strings change: -EBUSY.  A shrink asks for that, so the region gets
// something to lose if it has no capacity.
static int check_alone(struct diskalloc_strvec *v)
{
    struct diskalloc_vec_state *o = &v->offsets;
    uint64_t used = o->len * ENTRY_SIZE;
    int e = 0;

    if (diskalloc_region_size(o->region) == used)
        e = region_resize(o->region, used + PROBE);
    if (e == -EDQUOT || e == -ENOSPC) {
        error_forget();
        return 0;
    }
    if (e == 0)
        e = region_resize(o->region, used);
    o->cap = diskalloc_region_size(o->region) / ENTRY_SIZE;
    return e;
}

// Where a string is, which takes its bytes from LEFT.  Offsets that something else has changed since they were measured
// must not lead out of the bytes: such a string becomes empty.
static struct strvec_place take(const struct diskalloc_strvec *v, uint64_t entry, uint64_t *left)
{
    struct strvec_place place;

    if (!strvec_find(v, entry, &place) || place.at + place.n - place.start > *left)
        place = (struct strvec_place){0};
    *left -= place.at + place.n - place.start;
    return place;
}

static void slide(struct diskalloc_strvec *v, uint64_t live)
{
    uint64_t *entries = strvec_entries(v), to = 0;
    char *bytes = v->bytes.data;

    for (uint64_t i = 0, n = strvec_count(v); i < n; i++) {
        struct strvec_place place = take(v, entries[i], &live);

        memmove(bytes + to, bytes + place.start, place.at + place.n - place.start);
        entries[i] = strvec_entry(to + (place.at - place.start), place.n);
        to += place.at + place.n - place.start;
    }
}

static int sync_both(struct diskalloc_strvec *v)
{
    int e = strvec_persists(v) ? region_sync(v->bytes.region) : 0;

    return e == 0 && strvec_persists(v) ? region_sync(v->offsets.region) : e;
}

// Copies the strings, LIVE bytes, to the bytes from END on.
static void copy_behind(struct diskalloc_strvec *v, uint64_t end, uint64_t live)
{
    const uint64_t *entries = strvec_entries(v);
    uint64_t *shadow = strvec_shadow(v), to = end;

    for (uint64_t i = 0, n = strvec_count(v); i < n; i++) {
        struct strvec_place place = take(v, entries[i], &live);

        shadow[i] = strvec_put(v, to, (const char *)v->bytes.data + place.at, place.n);
        to += place.n + strvec_extra(place.n);
    }
}

// The same strings, LIVE bytes from END on, in front: their entries are those behind, less END, but for empty strings.
static void copy_to_front(struct diskalloc_strvec *v, uint64_t end, uint64_t live)
{
    const uint64_t *entries = strvec_entries(v);
    uint64_t *front = (uint64_t *)v->offsets.data + HEADER_ENTRIES;

    memcpy(v->bytes.data, (const char *)v->bytes.data + end, live);
    for (uint64_t i = 0, n = strvec_count(v); i < n; i++)
        front[i] = entries[i] & LENGTH_LONG ? entries[i] - (end << LENGTH_BITS) : 0;
}

// The caller has made room.  A failure leaves the strings as they were, or where they are now.
static int copy_both_ways(struct diskalloc_strvec *v, uint64_t live)
{
    uint64_t end = v->bytes.len, high = strvec_header(v)->high;
    int e;

    copy_behind(v, end, live);
    strvec_header(v)->high = end + live;
    e = sync_both(v);
    if (e < 0) {
        strvec_header(v)->high = high;
        return e;
    }
    v->bytes.len = end + live;
    strvec_publish(v, HEADER_ENTRIES + strvec_count(v));
    e = sync_both(v);
    if (e < 0) {
        strvec_settle(v);
        return e;
    }
    copy_to_front(v, end, live);
    e = sync_both(v);
    strvec_publish(v, HEADER_ENTRIES);
    return e < 0 ? e : sync_both(v);
}

static int copy(struct diskalloc_strvec *v, uint64_t live, const char *call)
{
    uint64_t bytes_size = diskalloc_region_size(v->bytes.region);
    uint64_t offsets_size = diskalloc_region_size(v->offsets.region);
    int e = strvec_make_room(v, live, strvec_count(v), call);

    if (e < 0)
        return e;
    e = strvec_persists(v) ? strvec_commit(v, DISKALLOC_DURABLE, call) : 0;
    if (e == 0)
        e = copy_both_ways(v, live);
    if (e < 0)
        strvec_give_back(v, bytes_size, offsets_size);
    return e;
}

// No string has bytes from END on.  The commits make that true for a later open before the bytes go.
static int cut(struct diskalloc_strvec *v, uint64_t end, const char *call)
{
    struct diskalloc_vec_state *parts[] = {&v->bytes, &v->offsets};
    const size_t sizes[] = {1, ENTRY_SIZE};
    int e = strvec_persists(v) ? strvec_commit(v, DISKALLOC_DURABLE, call) : 0;

    if (e < 0)
        return e;
    v->bytes.len = end;
    strvec_header(v)->high = end;
    e = strvec_persists(v) ? strvec_commit(v, 0, call) : 0;
    for (size_t i = 0; e == 0 && i < 2; i++) {
        struct diskalloc_vec_state *s = parts[i];
        struct diskalloc_vec_cap cut = diskalloc_vec_shrink(s->region, s->len, s->cap, sizes[i], &s->base_size, call);

        s->cap = cut.cap;
        e = cut.result;
    }
    return e;
}

static int compact(struct diskalloc_strvec *v, const char *call)
{
    struct shape s = {0};
    int e = measure(v, &s);

    if (e == 0)
        e = check_alone(v);
    if (e < 0)
        return e;
    if (s.live < s.end && s.in_order && !strvec_persists(v))
        slide(v, s.live);
    else if (s.live < s.end)
        e = copy(v, s.live, call);
    return e < 0 ? e : cut(v, s.live, call);
}

int diskalloc_strvec_compact(struct diskalloc_strvec *v)
{
    static const char call[] = "diskalloc_strvec_compact";
    int e;

    error_begin(call);
    e = strvec_check_writable(v);
    return error_end(e < 0 ? e : compact(v, call));
}
