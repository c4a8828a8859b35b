// The strings of a vector: adding, finding, replacing and removing them.  See strvec.h for how they lie.
#include "client/strvec/strvec.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

#include "client/util/error.h"
#include "client/vec.h"
#include "client/vec_init.h"
#include "proto/util/checked.h"

static int check(const struct diskalloc_strvec *v)
{
    if (!v || !v->bytes.region || !v->offsets.region)
        return error_why(-EINVAL, "the vector was not initialised");
    if (v->bytes.len > v->bytes.cap || v->offsets.len > v->offsets.cap || v->offsets.len < HEADER_ENTRIES)
        return error_why(-EINVAL, "something else has written to the vector's struct");
    return 0;
}

int strvec_check_writable(const struct diskalloc_strvec *v)
{
    int e = check(v);

    if (e < 0)
        return e;
    assert(v); // check has found it
    return v->offsets.flags & DISKALLOC_VEC_READ_ONLY ? error_why(-EROFS, "the vector was opened for reading only") : 0;
}

static int check_index(const struct diskalloc_strvec *v, size_t i)
{
    if (i < strvec_count(v))
        return 0;
    return error_why(-EINVAL, "string %zu is not in a vector of %zu", i, (size_t)strvec_count(v));
}

static int check_text(const char *bytes, uint64_t n)
{
    return bytes || n == 0
               ? 0
               : error_why(-EINVAL, "the bytes are NULL, and there are to be %llu of them", (unsigned long long)n);
}

static int room(struct diskalloc_vec_state *s, uint64_t additional, size_t size, const char *call)
{
    struct diskalloc_vec_cap grown;

    if (additional <= s->cap - s->len)
        return 0;
    grown = diskalloc_vec_grow(s->region, s->len, s->cap, additional, size, call);
    s->cap = grown.cap;
    return grown.result;
}

// Undoes a change after a call that failed and has noted why: nothing is noted here.
static void cut(struct diskalloc_vec_state *s, size_t element_size, uint64_t size)
{
    if (size < s->len * element_size)
        size = s->len * element_size;
    if (diskalloc_region_size(s->region) > size)
        region_resize(s->region, size);
    s->cap = u64_min(s->cap, diskalloc_region_size(s->region) / element_size);
}

void strvec_give_back(struct diskalloc_strvec *v, uint64_t bytes_size, uint64_t offsets_size)
{
    cut(&v->bytes, 1, bytes_size);
    cut(&v->offsets, ENTRY_SIZE, offsets_size);
}

int strvec_make_room(struct diskalloc_strvec *v, uint64_t bytes, uint64_t entries, const char *call)
{
    uint64_t bytes_size = diskalloc_region_size(v->bytes.region);
    uint64_t offsets_size = diskalloc_region_size(v->offsets.region);
    int e = room(&v->offsets, entries, ENTRY_SIZE, call);

    if (e == 0)
        e = room(&v->bytes, bytes, 1, call);
    if (e < 0)
        strvec_give_back(v, bytes_size, offsets_size);
    return e;
}

void strvec_begin(struct diskalloc_strvec *v, const struct handle *bytes_handle)
{
    struct strvec_header *h = strvec_header(v);

    *h = (struct strvec_header){.version = 1, .first = HEADER_ENTRIES};
    if (bytes_handle)
        memcpy(h->bytes_handle, bytes_handle->bytes, sizeof h->bytes_handle);
    atomic_signal_fence(memory_order_release);
    memcpy(h->magic, STRVEC_MAGIC, sizeof h->magic);
    v->first = v->offsets.len = HEADER_ENTRIES;
}

int diskalloc_strvec_init(struct diskalloc_strvec *v, struct diskalloc *da)
{
    static const char call[] = "diskalloc_strvec_init";
    int e;

    error_begin(call);
    if (!v)
        return error_end(error_why(-EINVAL, "no vector"));
    // Both have a file at once: a call that fails because one of them is refused leaves the other as it was.
    *v = (struct diskalloc_strvec){.offsets = vec_init_with_file(da, call)};
    e = v->offsets.result;
    if (e == 0) {
        v->bytes = vec_init_with_file(da, call);
        e = v->bytes.result;
    }
    if (e == 0)
        e = room(&v->offsets, HEADER_ENTRIES, ENTRY_SIZE, call);
    if (e < 0) {
        diskalloc_region_close(v->bytes.region);
        diskalloc_region_close(v->offsets.region);
        *v = (struct diskalloc_strvec){0};
        return error_end(e);
    }
    v->offsets.region->kind = STRVEC_KIND;
    strvec_begin(v, NULL);
    return error_end(0);
}

// There is room.  The order of the stores matters to whoever opens the vector after this process was killed.
static inline void add(struct diskalloc_strvec *v, const char *bytes, uint64_t n)
{
    uint64_t entry = strvec_put(v, v->bytes.len, bytes, n);

    v->bytes.len += n + strvec_extra(n);
    strvec_header(v)->high = v->bytes.len;
    atomic_signal_fence(memory_order_release);
    ((uint64_t *)v->offsets.data)[v->offsets.len++] = entry;
}

static __attribute__((cold, noinline)) int push_slowly(struct diskalloc_strvec *v, const char *bytes, size_t n)
{
    static const char call[] = "diskalloc_strvec_push";
    int e;

    error_begin(call);
    e = strvec_check_writable(v);
    if (e == 0)
        e = check_text(bytes, n);
    if (e == 0 && n > INT64_MAX - LENGTH_SIZE)
        e = error_why(-EOVERFLOW, "a string of %zu bytes", n);
    if (e == 0)
        e = strvec_make_room(v, n + strvec_extra(n), 1, call);
    if (e == 0)
        add(v, bytes ? bytes : "", n);
    return error_end(e);
}

int diskalloc_strvec_push(struct diskalloc_strvec *v, const char *bytes, size_t n)
{
    const struct diskalloc_vec_state *b = &v->bytes, *o = &v->offsets;

    // A reader has no capacity.
    if (LIKELY(n < LENGTH_LONG && b->len <= b->cap && n <= b->cap - b->len && o->len < o->cap && bytes)) {
        add(v, bytes, n);
        return 0;
    }
    return push_slowly(v, bytes, n);
}

// Counts the bytes that N strings take.
static int measure(const char *bytes, const uint64_t *ends, size_t n, uint64_t *ret)
{
    uint64_t from = 0, extra = 0;

    if (!ends)
        return error_why(-EINVAL, "no ends");
    for (size_t i = 0; i < n; i++) {
        if (ends[i] < from)
            return error_why(-EINVAL, "string %zu would end before it begins", i);
        extra += strvec_extra(ends[i] - from);
        from = ends[i];
    }
    if (from > INT64_MAX || !checked_add(from, extra, ret))
        return error_why(-EOVERFLOW, "%llu bytes of strings", (unsigned long long)from);
    return check_text(bytes, from);
}

// Without long strings the bytes are copied at once.
static void append(struct diskalloc_strvec *v, const char *bytes, const uint64_t *ends, size_t n)
{
    uint64_t *entries = (uint64_t *)v->offsets.data + v->offsets.len, from = 0, at = v->bytes.len;

    memcpy((char *)v->bytes.data + at, bytes, ends[n - 1]);
    strvec_header(v)->high = at + ends[n - 1];
    atomic_signal_fence(memory_order_release);
    for (size_t i = 0; i < n; from = ends[i++])
        entries[i] = strvec_entry(at + from, ends[i] - from);
    v->bytes.len = at + ends[n - 1];
    v->offsets.len += n;
}

int diskalloc_strvec_append(struct diskalloc_strvec *v, const char *bytes, const uint64_t *ends, size_t n)
{
    static const char call[] = "diskalloc_strvec_append";
    uint64_t total = 0;
    int e;

    error_begin(call);
    e = strvec_check_writable(v);
    if (e < 0 || n == 0)
        return error_end(e);
    e = measure(bytes, ends, n, &total);
    if (e == 0)
        e = strvec_make_room(v, total, n, call);
    if (e < 0)
        return error_end(e);
    bytes = bytes ? bytes : "";
    if (total == ends[n - 1])
        append(v, bytes, ends, n);
    else
        for (size_t i = 0; i < n; i++)
            add(v, bytes + (i > 0 ? ends[i - 1] : 0), ends[i] - (i > 0 ? ends[i - 1] : 0));
    return error_end(0);
}

// Notes why there is no string I to be had.  NULL.
static __attribute__((cold, noinline)) const char *refuse(const struct diskalloc_strvec *v, size_t i)
{
    int e;

    error_begin("diskalloc_strvec_get");
    e = check(v);
    if (e == 0)
        e = check_index(v, i);
    if (e == 0 && v->offsets.flags & DISKALLOC_VEC_READ_ONLY && strvec_header(v)->changes != v->changes)
        e = error_why(-ESTALE, "another process has sorted or compacted the vector: open it again");
    if (e == 0)
        e = error_why(-EINVAL, "string %zu is damaged: it would lie beyond the bytes", i);
    error_end(e);
    return NULL;
}

const char *diskalloc_strvec_get(const struct diskalloc_strvec *v, size_t i, size_t *ret_n)
{
    struct strvec_place place;

    if (!LIKELY(i < strvec_count(v) &&
                strvec_find(v, __atomic_load_n(strvec_entries(v) + i, __ATOMIC_RELAXED), &place)))
        return refuse(v, i);
    if (v->offsets.flags & DISKALLOC_VEC_READ_ONLY &&
        __atomic_load_n(&strvec_header(v)->changes, __ATOMIC_RELAXED) != v->changes)
        return refuse(v, i);
    if (ret_n)
        *ret_n = place.n;
    return (const char *)v->bytes.data + place.at;
}

size_t diskalloc_strvec_len(const struct diskalloc_strvec *v)
{
    return strvec_count(v);
}

// Nobody can find the old bytes again after a crash, and the new ones fit there.
static bool fits_in_place(const struct diskalloc_strvec *v, uint64_t entry, uint64_t n, struct strvec_place *ret)
{
    return !strvec_persists(v) && strvec_find(v, entry, ret) && n + strvec_extra(n) <= ret->at + ret->n - ret->start;
}

static int set(struct diskalloc_strvec *v, size_t i, const char *bytes, uint64_t n, const char *call)
{
    uint64_t *entry = strvec_entries(v) + i, to = v->bytes.len;
    struct strvec_place place;
    int e;

    if (fits_in_place(v, *entry, n, &place)) {
        *entry = strvec_put(v, place.start, bytes, n);
        // The last bytes are free at once.
        if (place.at + place.n == v->bytes.len)
            v->bytes.len = place.start + strvec_extra(n) + n;
        return 0;
    }
    e = strvec_make_room(v, n + strvec_extra(n), 0, call);
    if (e < 0)
        return e;
    v->bytes.len += n + strvec_extra(n);
    to = strvec_put(v, to, bytes, n);
    strvec_header(v)->high = v->bytes.len;
    atomic_signal_fence(memory_order_release);
    __atomic_store_n(entry, to, __ATOMIC_RELAXED);
    return 0;
}

int diskalloc_strvec_set(struct diskalloc_strvec *v, size_t i, const char *bytes, size_t n)
{
    static const char call[] = "diskalloc_strvec_set";
    int e;

    error_begin(call);
    e = strvec_check_writable(v);
    if (e == 0)
        e = check_index(v, i);
    if (e == 0)
        e = check_text(bytes, n);
    if (e == 0 && n > INT64_MAX - LENGTH_SIZE)
        e = error_why(-EOVERFLOW, "a string of %zu bytes", n);
    return error_end(e < 0 ? e : set(v, i, bytes ? bytes : "", n, call));
}

int diskalloc_strvec_truncate(struct diskalloc_strvec *v, size_t len)
{
    int e;

    error_begin("diskalloc_strvec_truncate");
    e = strvec_check_writable(v);
    if (e == 0 && len < strvec_count(v)) {
        v->offsets.len = HEADER_ENTRIES + len;
        if (len == 0 && !strvec_persists(v))
            v->bytes.len = 0;
    }
    return error_end(e);
}

// The bytes of the last string are free again if they are the last bytes, and no commit has them.
static void pop(struct diskalloc_strvec *v)
{
    uint64_t i = strvec_count(v) - 1;
    struct strvec_place place;

    if (strvec_find(v, strvec_entries(v)[i], &place) && place.at + place.n == v->bytes.len &&
        place.start >= v->kept_bytes && i >= v->kept_strings)
        v->bytes.len = place.start;
    v->offsets.len--;
}

int diskalloc_strvec_pop(struct diskalloc_strvec *v)
{
    int e;

    if (v && v->offsets.len > HEADER_ENTRIES && v->offsets.len <= v->offsets.cap && v->bytes.len <= v->bytes.cap &&
        !(v->offsets.flags & DISKALLOC_VEC_READ_ONLY)) {
        pop(v);
        return 0;
    }
    error_begin("diskalloc_strvec_pop");
    e = strvec_check_writable(v);
    return error_end(e < 0 ? e : error_why(-ENODATA, "the vector is empty"));
}
