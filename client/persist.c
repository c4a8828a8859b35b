// Vectors that persist: adopting a region, following what other processes commit, committing, closing.
//
// The record of a region says how many of its bytes are elements, and how large an element is.  The rules are the
// same for a daemon's regions and a directory's:
//   - A region that a vector adopts is marked at once, unless it has been committed before: so capacity that a killed
//     program has added is never taken for elements.
//   - A commit says the present length; the end of a vector commits, if its length is another than the one committed
//     last.
//   - A refresh takes over what others committed, and never drops elements that this vector has not committed.
//   - A commit does not drop elements that others have committed and this vector has not seen: -ESTALE.  The end of a
//     vector leaves their commit as it is.  Otherwise two writers are not kept apart here, and the later commit counts.
//     DISKALLOC_REGION_SOLE_WRITER keeps the second one out.
// A file of the caller's has no record.  Its size is the length, so a commit cuts the file.
//
// `agreed`, in the region, is the length that the record and the vector had in common last.  It tells elements that
// others have cut from elements that this vector has added.
#include <assert.h>
#include <errno.h>

#include "client/diskalloc.h"
#include "client/growth.h"
#include "client/util/error.h"
#include "client/vec.h"
#include "proto/util/checked.h"

// What a commit records as the element size of R.
static uint32_t recorded_size(const struct diskalloc_region *r, size_t element_size)
{
    return r->kind ? r->kind : (uint32_t)element_size;
}

// 0; -EPROTOTYPE: the record of R says that its elements have another size.
static int check_element_size(const struct diskalloc_region *r, size_t element_size)
{
    const struct backing *b = r->backing;

    if (!b->committed || b->element_size == 0 || b->element_size == recorded_size(r, element_size))
        return 0;
    return error_why(-EPROTOTYPE, "committed with elements of %u bytes, not %zu", b->element_size, element_size);
}

// Returns the bytes that are elements: those of the last commit, or all if there was none.  A region that was cut
// after its last commit, perhaps within an element, has the whole elements that are left.
static int find_length(const struct diskalloc_region *r, size_t element_size, uint64_t *ret)
{
    const struct backing *b = r->backing;
    uint64_t bytes = b->committed ? b->used : r->size;
    int e = check_element_size(r, element_size);

    if (e < 0)
        return e;
    // A shrink that cut the last element lowered `used` too.
    bytes = u64_min(bytes, r->size);
    if (b->committed && (b->element_size == recorded_size(r, element_size) || b->used > r->size))
        bytes = bytes / element_size * element_size;
    if (bytes % element_size != 0)
        return error_why(-EINVAL, "%llu bytes are no whole number of elements of %zu bytes", (unsigned long long)bytes,
                         element_size);
    *ret = bytes;
    return 0;
}

// Marks a region that nobody has committed as a vector of BYTES.  Should the program be killed before its first
// commit, the capacity that it added is not taken for elements.  A region that can't be opened by a name needs no
// mark: one that was unlinked, or one without a name on a file system that has no place for a record.
static int mark(struct diskalloc_region *r, uint64_t bytes, size_t element_size)
{
    int e;

    if (r->backing->committed || r->backing->read_only || region_is_inherited(r))
        return 0;
    e = region_commit_locked(r, bytes, recorded_size(r, element_size), 0);
    return e == -ESTALE || (e == -EOPNOTSUPP && !r->backing->named) ? 0 : e;
}

// Finds the elements of R, after asking for its present state (unless FRESH: R was opened just now), and marks R.
static int adopt(struct diskalloc_region *r, size_t element_size, bool fresh, uint64_t *ret_bytes)
{
    int e = 0;

    error_handle(r->handle);
    if (element_size == 0 || element_size > UINT32_MAX)
        return error_why(-EINVAL, "elements of %zu bytes", element_size);
    if (!fresh && !region_is_inherited(r))
        e = region_refresh_locked(r, 0);
    if (e < 0 && e != -ESTALE)
        return e;
    error_forget();
    error_handle(r->handle);
    e = find_length(r, element_size, ret_bytes);
    if (e == 0)
        e = region_reserve(r);
    return e < 0 ? e : mark(r, *ret_bytes, element_size);
}

static struct diskalloc_vec_state init_region(struct diskalloc_region *r, size_t element_size, bool fresh)
{
    struct diskalloc_vec_state v;
    uint64_t bytes = 0;

    pthread_mutex_lock(&r->lock);
    v = vec_state_of(r, adopt(r, element_size, fresh, &bytes));
    pthread_mutex_unlock(&r->lock);
    if (v.result < 0)
        return v;
    assert(element_size > 0); // adopt has checked it
    r->element_size = (uint32_t)element_size;
    r->agreed = bytes;
    r->drained = r->backing->discarded.n > 0 && r->backing->discarded.items[0].offset == 0;
    v.len = bytes / element_size;
    v.cap = r->backing->read_only ? v.len : vec_end(r, bytes) / element_size;
    v.base_size = r->size;
    v.flags = DISKALLOC_VEC_ADOPTED | (r->backing->read_only ? DISKALLOC_VEC_READ_ONLY : 0);
    return v;
}

struct diskalloc_vec_state diskalloc_vec_init_region(struct diskalloc_region *r, size_t element_size, const char *call)
{
    struct diskalloc_vec_state v;

    error_begin(call);
    v = r ? init_region(r, element_size, false) : vec_state_of(NULL, error_why(-EINVAL, "no region"));
    error_end(v.result);
    return v;
}

struct diskalloc_vec_state diskalloc_vec_open(struct diskalloc *da, const char *name,
                                              const struct diskalloc_region_options *o, size_t element_size,
                                              const char *call)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc_vec_state v;
    int e;

    error_begin(call);
    e = element_size > 0 ? 0 : error_why(-EINVAL, "the elements have no bytes");
    // Otherwise a region would be made, and stay, that is no vector.
    if (element_size > 0 && o && o->struct_size == sizeof *o && o->flags & DISKALLOC_REGION_CREATE &&
        o->size % element_size != 0)
        e = error_why(-EINVAL, "a size of %llu bytes is no whole number of elements of %zu bytes",
                      (unsigned long long)o->size, element_size);
    if (e == 0)
        e = region_open(da, name, o, &r);
    v = e == 0 ? init_region(r, element_size, true) : vec_state_of(NULL, e);
    if (e == 0 && v.result < 0)
        region_close(r);
    error_end(v.result);
    return v;
}

// Returns the bytes that are elements to others.  A file of the caller's has no record: when others have changed its
// size, its new size is the length.
static uint64_t find_new_length(const struct diskalloc_region *r, uint64_t size_before)
{
    const struct backing *b = r->backing;

    if (b->is_callers_file)
        return b->size == size_before ? r->agreed : b->size;
    return b->committed ? u64_min(b->used, u64_min(b->size, b->agreed_to)) : r->agreed;
}

// Finds the new length of a vector that has USED bytes of elements.  0: the same; 1: another; -ESTALE: the vector has
// elements of its own that would be lost.
static int take_over_length(struct diskalloc_region *r, uint64_t used, size_t element_size, uint64_t size_before,
                            size_t *len)
{
    uint64_t length = find_new_length(r, size_before);

    if (length == r->agreed)
        return 0;
    if (used != r->agreed && used > length)
        return error_why(-ESTALE, "others committed %llu elements, and the vector has %zu with its own",
                         (unsigned long long)(length / element_size), *len);
    r->agreed = length / element_size * element_size;
    if (*len == length / element_size)
        return 0;
    *len = length / element_size;
    return 1;
}

// If others ask whether the region may be cut, the vector agrees unless it has elements of its own there.  Elements
// that were committed are the region's: the vector has as many as are left.
static bool agree(struct diskalloc_region *r, struct diskalloc_vec_state *v, uint64_t used, size_t element_size)
{
    bool cut = region_agree_locked(r, used == r->agreed ? 0 : used);

    if (!cut)
        return false;
    v->len = u64_min(v->len, r->size / element_size);
    r->agreed = u64_min(r->agreed, (uint64_t)v->len * element_size);
    return true;
}

// With the lock held.
static int refresh_locked(struct diskalloc_region *r, struct diskalloc_vec_state *v, size_t element_size)
{
    uint64_t used = (uint64_t)v->len * element_size, size_before = r->backing->size;
    bool cut = agree(r, v, used, element_size);
    int e, changed;

    used = (uint64_t)v->len * element_size;
    e = changed = region_refresh_locked(r, used);
    if (cut && e == 0)
        changed = 1;
    if (e >= 0)
        e = check_element_size(r, element_size);
    if (e >= 0)
        e = take_over_length(r, used, element_size, size_before, &v->len);
    return e < 0 ? e : changed | e;
}

struct diskalloc_vec_state diskalloc_vec_refresh(struct diskalloc_vec_state v, size_t element_size, const char *call)
{
    struct diskalloc_vec_state before = v;

    error_begin(call);
    v.result = vec_check(v.region, v.len, v.cap, element_size);
    if (v.result == 0) {
        pthread_mutex_lock(&v.region->lock);
        v.result = refresh_locked(v.region, &v, element_size);
        pthread_mutex_unlock(&v.region->lock);
    }
    if (v.result >= 0)
        v.cap = v.region->backing->read_only ? v.len : vec_end(v.region, (uint64_t)v.len * element_size) / element_size;
    before.result = error_end(v.result);
    if (v.result >= 0)
        return v;
    before.len = v.len; // less, if it has agreed to a cut
    // The region may have become smaller without cutting an element: the vector must not store behind it.
    if (before.region && before.len <= before.cap && element_size > 0)
        before.cap = u64_max(before.len, u64_min(before.cap, before.region->size / element_size));
    return before;
}

// The region was cut to the length of the vector, also where another user had grown it.
static void cut(struct diskalloc_region *r, uint64_t *base_size, uint64_t used)
{
    if (*base_size > used)
        *base_size = used;
    if (r->kept > used)
        r->kept = used;
}

// Takes over what others have committed.  -ESTALE: they have left the region less than LEAST bytes.
static int look_again(struct diskalloc_region *r, uint64_t least)
{
    int e;

    pthread_mutex_lock(&r->lock);
    e = region_refresh_locked(r, least);
    pthread_mutex_unlock(&r->lock);
    return e;
}

// Before elements behind the first USED bytes are dropped: -ESTALE if others have committed some there, of which this
// vector knows nothing.
static int check_others(struct diskalloc_region *r, uint64_t used, uint64_t least)
{
    const struct backing *b = r->backing;
    int e;

    if (r->element_size == 0 || b->is_callers_file)
        return 0;
    e = look_again(r, least);
    if (e < 0)
        return e;
    if (b->committed && b->used > used && b->used > r->agreed)
        return error_why(-ESTALE, "others have committed %llu bytes of elements: refresh first",
                         (unsigned long long)b->used);
    return 0;
}

// A caller's file has no record: its size says how many elements it has.
static int commit(struct diskalloc_region *r, uint64_t used, size_t element_size, uint64_t *base_size, uint32_t flags)
{
    int e = check_others(r, used, used);

    if (r->backing->is_callers_file)
        e = region_resize(r, used);
    if (e == 0 && r->backing->is_callers_file)
        cut(r, base_size, used);
    if (e == 0)
        e = region_commit(r, used, recorded_size(r, element_size), flags);
    if (e == 0)
        r->agreed = used;
    return e;
}

// Commits, and gives back the capacity that the vector added.  A failure is not reported: the last commit counts
// then, and others have the region attached, or it was inherited.
static void leave(struct diskalloc_region *r, uint64_t base_size, uint64_t used)
{
    uint64_t keep;

    vec_take_early(r, UINT64_MAX);
    // A vector that has not changed does not replace what others have committed meanwhile, and does not cut it.
    if (r->element_size > 0 && used <= r->size && used != r->agreed)
        commit(r, used, r->element_size, &base_size, 0);
    keep = u64_max(u64_max(base_size, used), u64_max(r->used, r->kept));
    if (r->size > keep && look_again(r, 0) >= 0)
        keep = u64_max(keep, r->used);
    if (r->size > keep)
        region_resize(r, keep);
    error_forget();
}

void diskalloc_vec_deinit(struct diskalloc_region *r, uint64_t base_size, uint32_t flags, uint64_t used)
{
    if (!r)
        return;
    if (flags & DISKALLOC_VEC_ADOPTED && !(flags & DISKALLOC_VEC_READ_ONLY) && used != UINT64_MAX &&
        !region_is_inherited(r))
        leave(r, base_size, used);
    if (r->began_with > 0 && used != UINT64_MAX)
        r->da->first_size = growth_first_after_end(r->da->first_size, r->began_with, used);
    region_close(r);
}

static struct diskalloc_vec_cap with_cap(size_t cap, int result)
{
    return (struct diskalloc_vec_cap){.cap = cap, .result = error_end(result)};
}

struct diskalloc_vec_cap diskalloc_vec_shrink(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                                              uint64_t *base_size, const char *call)
{
    uint64_t used = (uint64_t)len * element_size;
    int result;

    error_begin(call);
    result = vec_check(r, len, cap, element_size);
    if (result < 0)
        return with_cap(cap, result);
    result = used < r->size ? check_others(r, used, 0) : 0;
    if (result == 0)
        result = region_resize_agreed(r, used);
    // In doubt the region has become smaller: the vector must not store behind it.
    if (result < 0)
        return with_cap(u64_min(cap, r->size / element_size), result);
    cut(r, base_size, used);
    return with_cap(diskalloc_region_size(r) / element_size, 0);
}

struct diskalloc_vec_cap diskalloc_vec_commit(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                                              uint64_t *base_size, uint32_t flags, const char *call)
{
    uint64_t used = (uint64_t)len * element_size;
    int result;

    error_begin(call);
    result = vec_check(r, len, cap, element_size);
    if (result < 0)
        return with_cap(cap, result);
    if (flags & ~(uint32_t)DISKALLOC_DURABLE)
        return with_cap(cap, error_why(-EINVAL, "unknown flags 0x%x", flags));
    result = commit(r, used, element_size, base_size, flags);
    if (r->backing->is_callers_file && !r->backing->read_only)
        cap = r->size / element_size;
    return with_cap(cap, result);
}
