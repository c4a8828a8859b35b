// Where a region lies: how much address space it gets, and at which address.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/memory/home.h"
#include "client/memory/reservation.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/size.h"

// The usual reservation, when the caller has no wish: $DISKALLOC_RESERVE, or what the library chooses.
static int find_usual(uint64_t *ret)
{
    const char *text = secure_getenv("DISKALLOC_RESERVE");

    *ret = reservation_default(reservation_held());
    if (!text || !*text)
        return 0;
    if (size_parse(text, ret) < 0 || *ret == 0 || *ret > INT64_MAX)
        return error_why(-EINVAL, "$DISKALLOC_RESERVE \"%.40s\" is no size (such as 32G)", text);
    return 0;
}

// At the place of the name, if that can be had (client/memory/home.h).
static int take(struct mapping *m, uint64_t seed, uint64_t length, bool exact, uint64_t needed)
{
    uint64_t whole, place;

    for (unsigned try = 0; seed && try < HOME_TRIES && checked_align_up(length, RESERVATION_ALIGN, &whole); try++) {
        place = home_place(seed, try, whole);
        if (place && mapping_reserve_at(m, place, whole))
            return 0;
    }
    return mapping_reserve(m, length, exact, needed);
}

int region_reserve_addresses(struct mapping *m, const struct diskalloc_region_options *o, bool exact, uint64_t seed)
{
    bool fixed = exact && o->reserve > 0;
    uint64_t wish = o->reserve, usual;
    int e = find_usual(&usual);

    if (e < 0)
        return e;
    if (o->size > INT64_MAX)
        return error_why(-EOVERFLOW, "no file can have %llu bytes", (unsigned long long)o->size);
    if (fixed && o->size > wish) {
        char size[SIZE_TEXT_MAX], text[SIZE_TEXT_MAX];

        return error_why(-ENOMEM, "a size of %s does not fit the reserve of %s", size_format(o->size, size),
                         size_format(wish, text));
    }
    if (!fixed && (wish == 0 || wish > usual))
        wish = usual;
    if (!fixed)
        wish = reservation_for(wish, o->size);
    return take(m, seed, wish, fixed, o->size > 0 ? o->size : RESERVATION_ALIGN);
}

// Takes more address space for a region that exists already, if it is too large for the usual reservation.
static int make_fit(struct mapping *m, const struct diskalloc_region_options *o, uint64_t size)
{
    char text[SIZE_TEXT_MAX], reserved[SIZE_TEXT_MAX];

    // A region that fills the reservation could not grow by a byte.
    if (size <= (o->reserve > 0 ? m->reserve : m->reserve / 2))
        return 0;
    if (o->reserve > 0)
        return error_why(-ENOMEM, "the region has %s, its reserve is %s", size_format(size, text),
                         size_format(m->reserve, reserved));
    mapping_deinit(m);
    return mapping_reserve(m, reservation_for(0, size), false, size);
}

static int place(struct mapping *m, const struct backing *b)
{
    int e = mapping_place(m, b->file.fd, b->read_only);

    return e < 0 ? e : mapping_set_access(m, b->size, &b->discarded);
}

// The address that the heap in this region was made for, if it lies elsewhere now; 0: none.
static uint64_t find_home(const struct diskalloc_region *r)
{
    const struct backing *b = r->backing;
    struct home_header header;
    uint64_t home;

    if (b->size < sizeof header || ranges_overlap(&b->discarded, 0, sizeof header) > 0)
        return 0;
    if (b->is_callers_file) {
        // Others may cut the file at any time: reading its memory could be SIGBUS.
        if (pread(b->file.fd, &header, sizeof header, 0) != sizeof header)
            return 0;
    } else if (b->committed && b->element_size == REGION_OF_A_HEAP) {
        memcpy(&header, r->mapping.base, sizeof header);
    } else {
        return 0;
    }
    home = home_of(&header, r->mapping.reserve);
    return home == (uintptr_t)r->mapping.base ? 0 : home;
}

// Nobody knows the region's address yet.  Where the home can't be had, the region stays where it is.
static void go_home(struct diskalloc_region *r)
{
    uint64_t home = find_home(r);
    struct mapping there;

    if (!home || !mapping_reserve_at(&there, home, r->mapping.reserve))
        return;
    if (place(&there, r->backing) < 0) {
        mapping_deinit(&there);
        error_forget();
        return;
    }
    mapping_deinit(&r->mapping);
    r->mapping = there;
}

int region_place(struct diskalloc_region *r, const struct diskalloc_region_options *o)
{
    int e = make_fit(&r->mapping, o, r->backing->size);

    if (e == 0)
        e = place(&r->mapping, r->backing);
    if (e < 0)
        return e;
    go_home(r);
    r->backing->mapped_at = r->mapping.base;
    return 0;
}
