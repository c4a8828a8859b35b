// Opening a heap that is there: everything that the region says is checked before it is used.
//
// A region with a name can have been changed by whoever may write to it, by a disk, or by a file system after a power
// failure.  The rules: a number is used only when it is known to lie within the heap, nothing is read that is not
// granted, and the spans, the segments and the parts that were given back have to fit together.  The bits of slabs
// need no check: whatever they say, they tell blocks of that slab apart.
#include <errno.h>
#include <string.h>

#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

static int damaged(const char *what, uint64_t at)
{
    return error_why(-EINVAL, "the heap in this region is damaged: %s, at byte %llu", what, (unsigned long long)at);
}

// Whether the region grants all of these units.
static bool is_accessible(const struct diskalloc_heap *h, uint32_t at, uint64_t n)
{
    return (at + n) * UNIT <= h->region->size &&
           ranges_overlap(&h->region->backing->discarded, at * UNIT, n * UNIT) == 0;
}

int check_header(const struct diskalloc_heap *h)
{
    const struct heap_header *header = h->header;
    uint64_t extent, root;

    if (!is_accessible(h, 0, 1))
        return damaged("its beginning is missing", 0);
    if (memcmp(header->first.magic, HOME_MAGIC, sizeof header->first.magic) != 0)
        return error_why(-EINVAL, "there is no heap in this region, and it is not empty");
    if (header->first.version != HEAP_VERSION)
        return error_why(-EINVAL, "the heap in this region has version %u, and this library knows %d",
                         header->first.version, HEAP_VERSION);
    if (header->first.unit != UNIT || header->first.check != home_check(&header->first))
        return damaged("its header", 0);
    if (!unseal(atomic_load(&header->extent), SEAL_EXTENT, 0, &extent) ||
        !unseal(atomic_load(&header->root), SEAL_ROOT, 0, &root))
        return damaged("its header", 0);
    if ((uint32_t)extent < HEAP_FIRST_UNITS || (uint32_t)extent > HEAP_UNITS_MAX)
        return damaged("its size", 0);
    if ((uint32_t)extent * UNIT > h->region->size)
        return error_why(-EINVAL, "the heap in this region is damaged: it had %llu bytes, and the region has %llu",
                         (unsigned long long)(uint32_t)extent * UNIT, (unsigned long long)h->region->size);
    return 0;
}

// The segments lie where each one says of the next.  No further than the heap needs them is anything believed.
static int read_segments(struct diskalloc_heap *h, uint32_t extent, uint32_t n)
{
    uint64_t at = 1;

    if (n < (extent + (uint64_t)SEGMENT_UNITS - 1) / SEGMENT_UNITS || n > extent / SEGMENT_SPAN || n > h->segments_max)
        return damaged("the number of its segments", 0);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && !unseal(atomic_load(&h->segments[i - 1]->next), SEAL_NEXT, i, &at))
            return damaged("the place of a segment", (uint64_t)((char *)h->segments[i - 1] - h->base));
        if (at == 0 || at + SEGMENT_SPAN > extent || !is_accessible(h, (uint32_t)at, SEGMENT_SPAN))
            return damaged("the place of a segment", at * UNIT);
        for (uint32_t unit = 0; unit < SEGMENT_SPAN; unit++) {
            if (h->units[at + unit].kind == SPAN_NOTES)
                return damaged("two segments at one place", at * UNIT);
            h->units[at + unit].kind = SPAN_NOTES;
        }
        h->segments[i] = (struct heap_segment *)(void *)(h->base + at * UNIT);
        h->n_segments = i + 1;
    }
    return 0;
}

// Units that are notes by their entry are those of segments, and no others.  But a span of notes without a segment is
// free: a killed program was about to place one there.
static int check_notes(const struct diskalloc_heap *h, uint32_t at, struct span s)
{
    uint32_t n = 0;

    for (uint32_t i = at; i < at + s.n; i++)
        n += h->units[i].kind == SPAN_NOTES;
    if (s.kind != SPAN_NOTES && n > 0)
        return damaged("a segment within another span", at * UNIT);
    if (s.kind == SPAN_NOTES && n > 0 && n < s.n)
        return damaged("notes that belong to no segment", at * UNIT);
    return 0;
}

static void adopt(struct diskalloc_heap *h, uint32_t at, struct span s)
{
    if (s.kind == SPAN_FREE || (s.kind == SPAN_NOTES && h->units[at].kind != SPAN_NOTES)) {
        span_write(h, at, (struct span){SPAN_FREE, 0, s.n});
        spans_list(h, at, s.n);
        return;
    }
    for (uint32_t i = 0; i < s.n; i++)
        h->units[at + i] = (struct unit){.head = at,
                                         .kind = s.kind == SPAN_SLAB || i == 0 ? (uint8_t)s.kind : SPAN_NONE,
                                         .size_class = (uint8_t)s.size_class};
    h->used += s.n;
    if (s.kind == SPAN_SLAB)
        slab_adopt(h, at, s.size_class);
    else
        h->units[at].n = s.n;
}

static void note_given_back(struct diskalloc_heap *h, uint32_t extent)
{
    const struct ranges *discarded = &h->region->backing->discarded;

    for (size_t i = 0; i < discarded->n; i++) {
        uint64_t first = discarded->items[i].offset / UNIT;
        uint64_t end = align_up(discarded->items[i].offset + discarded->items[i].length, UNIT) / UNIT;

        for (uint64_t unit = first; unit < end && unit < extent; unit++)
            h->units[unit].flags = UNIT_GIVEN_BACK;
    }
}

static int check_span(const struct diskalloc_heap *h, uint32_t at, struct span s)
{
    if (at == 0 && s.kind != SPAN_NOTES)
        return damaged("the entry of its header", 0);
    if (s.kind != SPAN_FREE && !is_accessible(h, at, s.n))
        return damaged("memory in use was given back", (uint64_t)at * UNIT);
    return check_notes(h, at, s);
}

// Twice: what is refused is left as it is.
static int read_spans(struct diskalloc_heap *h, uint32_t extent, bool checked)
{
    uint32_t at = 0;

    while (at < extent) {
        uint64_t word = atomic_load(&span_segment(h, at)->entries[at % SEGMENT_UNITS]);
        struct span s;
        int e;

        if (!span_decode(word, at, extent, &s))
            return damaged("an entry", (uint64_t)at * UNIT);
        e = checked ? 0 : check_span(h, at, s);
        if (e < 0)
            return e;
        if (checked)
            adopt(h, at, s);
        at += s.n;
    }
    return 0;
}

int check_root_is_granted(const struct diskalloc_heap *h)
{
    return is_accessible(h, (uint32_t)(h->root / UNIT), 1) ? 0 : damaged("the root was given back", h->root);
}

static int check_root(struct diskalloc_heap *h)
{
    uint64_t root = 0;
    const struct unit *u;

    unseal(atomic_load(&h->header->root), SEAL_ROOT, 0, &root);
    h->root = root;
    if (root == 0)
        return 0;
    if (root / UNIT >= atomic_load(&h->extent))
        return damaged("the root lies outside", root);
    u = &h->units[root / UNIT];
    if ((u->kind == SPAN_LARGE && root % UNIT == 0) || slabs_is_used(h, h->base + root))
        return 0;
    return damaged("the root is no block", root);
}

int check_read(struct diskalloc_heap *h)
{
    uint64_t extent = 0;
    int e;

    unseal(atomic_load(&h->header->extent), SEAL_EXTENT, 0, &extent);
    e = heap_make_ready(h, (uint32_t)extent);
    if (e == 0)
        e = read_segments(h, (uint32_t)extent, (uint32_t)(extent >> 32));
    if (e < 0)
        return e;
    note_given_back(h, (uint32_t)extent);
    h->units[0].kind = SPAN_NOTES; // the header
    e = read_spans(h, (uint32_t)extent, false);
    // Joining free spans does not look beyond those that were read: the extent is not known to it yet.
    if (e == 0)
        e = read_spans(h, (uint32_t)extent, true);
    atomic_store(&h->extent, (uint32_t)extent);
    return e < 0 ? e : check_root(h);
}
