// Vectors of strings that persist: two regions of one name, made, opened, committed and closed.
//
// NAME has the offsets, and NAME.bytes the bytes.  A vector is made by a region without content, then the region of the
// bytes, then the header, which names that region by its handle, and its commit.  If the program is killed on the way,
// there is an empty region NAME, and perhaps an empty region NAME.bytes: the next open for writing goes on from there.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/region/region.h"
#include "client/strvec/strvec.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

#define SUFFIX ".bytes"

struct opening {
    struct diskalloc *da;
    const char *name;
    char bytes_name[sizeof(struct region_name)];
    uint32_t flags;
    struct diskalloc_region *offsets, *bytes; // owned until the vector has them
    bool made_offsets, made_bytes;
};

static int name_bytes(struct opening *o)
{
    const char *slash = o->name ? strchr(o->name, '/') : NULL, *own = slash ? slash + 1 : o->name;
    int n;

    if (!o->name)
        return error_why(-EINVAL, "the name is NULL");
    if (strlen(own) + strlen(SUFFIX) > NAME_MAX_LENGTH)
        return error_why(-ENAMETOOLONG, "\"%.150s" SUFFIX "\" can't be a region's name", own);
    n = snprintf(o->bytes_name, sizeof o->bytes_name, "%s" SUFFIX, o->name);
    return n >= 0 && (size_t)n < sizeof o->bytes_name ? 0 : error_why(-EINVAL, "\"%.150s\" is no name", o->name);
}

static int check_flags(const struct opening *o)
{
    if (o->flags & DISKALLOC_REGION_READ_ONLY && o->flags & DISKALLOC_REGION_CREATE)
        return error_why(-EINVAL, "READ_ONLY and CREATE: a reader makes nothing");
    if (o->flags & DISKALLOC_REGION_EXCLUSIVE && !(o->flags & DISKALLOC_REGION_CREATE))
        return error_why(-EINVAL, "EXCLUSIVE without CREATE");
    return 0;
}

// A region that is made here is taken away again if the vector can't be opened, so it matters who has made it.
static int open_or_make(struct opening *o, const char *name, uint32_t flags, struct diskalloc_region **ret, bool *made)
{
    const uint32_t making = DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE;
    struct diskalloc_region_options options = DISKALLOC_REGION_OPTIONS_INIT;
    int e = -ENOENT;

    options.flags = flags & ~making;
    if (!(flags & DISKALLOC_REGION_READ_ONLY))
        options.flags |= DISKALLOC_REGION_SOLE_WRITER;
    if (!(flags & DISKALLOC_REGION_EXCLUSIVE))
        e = region_open(o->da, name, &options, ret);
    if (e != -ENOENT || !(flags & DISKALLOC_REGION_CREATE))
        return e;
    error_forget();
    options.flags |= making;
    e = region_open(o->da, name, &options, ret);
    *made = e == 0;
    if (e != -EEXIST || flags & DISKALLOC_REGION_EXCLUSIVE)
        return e;
    // Another process was quicker.
    error_forget();
    options.flags &= ~making;
    return region_open(o->da, name, &options, ret);
}

static bool has_gaps(const struct diskalloc_region *r)
{
    return r->backing->discarded.sum > 0;
}

// 1: R has a header; 0: it has nothing yet; -EPROTOTYPE: it is another kind of region; -EINVAL: it is damaged.
static int look(const struct diskalloc_region *r)
{
    const struct backing *b = r->backing;
    const struct strvec_header *h = (const struct strvec_header *)r->mapping.base;

    error_handle(r->handle);
    if (b->committed ? b->element_size != STRVEC_KIND : b->size > 0)
        return error_why(-EPROTOTYPE, "the region has no strings in it");
    if (!b->committed || b->used < sizeof *h)
        return 0;
    if (b->used > r->size || has_gaps(r))
        return error_why(-EINVAL, "damaged: a part of the offsets was cut or discarded");
    if (memcmp(h->magic, STRVEC_MAGIC, sizeof h->magic) != 0 || h->version != 1)
        return error_why(-EINVAL, "damaged, or of a later version: the header");
    return 1;
}

static int adopt(struct diskalloc_vec_state *state, struct diskalloc_region **r, size_t element_size, const char *call)
{
    struct diskalloc_vec_state adopted = diskalloc_vec_init_region(*r, element_size, call);

    if (adopted.result < 0)
        return adopted.result;
    *state = adopted;
    *r = NULL;
    return 0;
}

// NAME.bytes may be left of a vector whose making was interrupted; then it is empty.
static int make(struct diskalloc_strvec *v, struct opening *o, const char *call)
{
    struct diskalloc_region *bytes;
    int e;

    if (o->flags & DISKALLOC_REGION_READ_ONLY)
        return error_why(-ENOENT, "the vector is being made");
    e = open_or_make(o, o->bytes_name, (o->flags | DISKALLOC_REGION_CREATE) & ~(uint32_t)DISKALLOC_REGION_EXCLUSIVE,
                     &o->bytes, &o->made_bytes);
    if (e < 0)
        return e;
    bytes = o->bytes;
    if (bytes->backing->committed ? bytes->backing->used > 0 || bytes->backing->element_size != 1 : bytes->size > 0)
        return error_why(-EEXIST, "%s has something in it, and belongs to no vector: unlink it first", o->bytes_name);
    e = adopt(&v->bytes, &o->bytes, 1, call);
    if (e == 0)
        e = adopt(&v->offsets, &o->offsets, ENTRY_SIZE, call);
    if (e == 0)
        e = strvec_make_room(v, 0, HEADER_ENTRIES, call);
    if (e < 0)
        return e;
    strvec_begin(v, &bytes->backing->handle);
    return strvec_commit(v, 0, call);
}

static int open_bytes(struct diskalloc_strvec *v, struct opening *o, const char *call)
{
    const struct strvec_header *h = strvec_header(v);
    uint64_t size;
    bool made = false;
    int e = open_or_make(o, o->bytes_name, o->flags & ~(uint32_t)(DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE),
                         &o->bytes, &made);

    if (e == -ENOENT)
        return error_why(-EINVAL, "damaged: its bytes, %s, are gone", o->bytes_name);
    if (e < 0)
        return e;
    if (memcmp(o->bytes->backing->handle.bytes, h->bytes_handle, sizeof h->bytes_handle) != 0)
        return error_why(-EINVAL, "damaged: %s is another region than it was", o->bytes_name);
    if (has_gaps(o->bytes))
        return error_why(-EINVAL, "damaged: a part of the bytes was discarded");
    e = adopt(&v->bytes, &o->bytes, 1, call);
    if (e < 0)
        return e;
    // Entries that were changed after the last commit refer to bytes behind it.
    size = diskalloc_region_size(v->bytes.region);
    v->bytes.len = u64_max(v->bytes.len, u64_min(h->high, size));
    v->bytes.cap = u64_max(v->bytes.cap, v->bytes.len);
    return 0;
}

static int open_existing(struct diskalloc_strvec *v, struct opening *o, const char *call)
{
    int e = adopt(&v->offsets, &o->offsets, ENTRY_SIZE, call);
    uint64_t first, in_region;

    if (e < 0)
        return e;
    first = strvec_header(v)->first;
    in_region = diskalloc_region_size(v->offsets.region) / ENTRY_SIZE;
    if (v->offsets.len < HEADER_ENTRIES || first < HEADER_ENTRIES || first > in_region ||
        strvec_count(v) > in_region - first)
        return error_why(-EINVAL, "damaged: %llu offsets from %llu on, in a region for %llu",
                         (unsigned long long)strvec_count(v), (unsigned long long)first, (unsigned long long)in_region);
    v->first = first;
    v->changes = strvec_header(v)->changes;
    e = open_bytes(v, o, call);
    // A sort or a compaction was interrupted.
    if (e == 0 && !(o->flags & DISKALLOC_REGION_READ_ONLY))
        strvec_settle(v);
    v->kept_bytes = v->bytes.len;
    v->kept_strings = strvec_count(v);
    return e;
}

// The reason that was noted stays: closing notes none, and unlinking only if it fails.
static void abandon(struct diskalloc_strvec *v, struct opening *o)
{
    struct diskalloc_region *regions[] = {v->offsets.region, v->bytes.region, o->offsets, o->bytes};

    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
        diskalloc_region_close(regions[i]);
    if (o->made_bytes)
        region_unlink(o->da, o->bytes_name);
    if (o->made_offsets)
        region_unlink(o->da, o->name);
    *v = (struct diskalloc_strvec){0};
}

int diskalloc_strvec_open(struct diskalloc_strvec *v, struct diskalloc *da, const char *name, uint32_t flags)
{
    static const char call[] = "diskalloc_strvec_open";
    struct opening o = {.da = da, .name = name, .flags = flags};
    int e;

    error_begin(call);
    if (!v)
        return error_end(error_why(-EINVAL, "no vector"));
    *v = (struct diskalloc_strvec){0};
    e = name_bytes(&o);
    if (e == 0)
        e = check_flags(&o);
    if (e == 0)
        e = open_or_make(&o, name, flags, &o.offsets, &o.made_offsets);
    if (e == 0)
        e = look(o.offsets);
    if (e >= 0) {
        assert(o.offsets);
        o.offsets->kind = STRVEC_KIND;
        e = e > 0 ? open_existing(v, &o, call) : make(v, &o, call);
    }
    if (e < 0)
        abandon(v, &o);
    return error_end(e);
}

int strvec_commit(struct diskalloc_strvec *v, uint32_t flags, const char *call)
{
    struct diskalloc_vec_state *parts[] = {&v->bytes, &v->offsets};
    const size_t sizes[] = {1, ENTRY_SIZE};

    for (size_t i = 0; i < 2; i++) {
        struct diskalloc_vec_cap done = diskalloc_vec_commit(parts[i]->region, parts[i]->len, parts[i]->cap, sizes[i],
                                                             &parts[i]->base_size, flags, call);

        if (done.result < 0)
            return done.result;
        parts[i]->cap = done.cap;
    }
    if (strvec_persists(v)) {
        v->kept_bytes = v->bytes.len;
        v->kept_strings = strvec_count(v);
    }
    return 0;
}

int diskalloc_strvec_commit(struct diskalloc_strvec *v, uint32_t flags)
{
    static const char call[] = "diskalloc_strvec_commit";
    int e;

    error_begin(call);
    e = strvec_check_writable(v);
    return error_end(e < 0 ? e : strvec_commit(v, flags, call));
}

static void leave(struct diskalloc_vec_state *s, uint64_t element_size)
{
    diskalloc_vec_deinit(s->region, s->base_size, s->flags, s->len > s->cap ? UINT64_MAX : s->len * element_size);
}

// The bytes are committed first.  If that fails, the header says how many there are.
void diskalloc_strvec_deinit(struct diskalloc_strvec *v)
{
    if (!v)
        return;
    leave(&v->bytes, 1);
    leave(&v->offsets, ENTRY_SIZE);
    *v = (struct diskalloc_strvec){0};
}
