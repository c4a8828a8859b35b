// Reading the list of regions one by one: see region_list.h.
//
// A cursor is the first half of the handle of the region that was returned last; regions come in the order of their
// handles.  Handles are random, so no two have the same half (unless somebody has made one on purpose, who then hides a
// region of theirs).  The half 0 counts as 1, because 0 is the beginning.  A page is kept, so that 64 calls need one
// request; several threads with cursors of their own only make more requests.
#include "client/region_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HALF = sizeof(uint64_t) };

void region_list_init(struct region_list *l)
{
    pthread_mutex_init(&l->lock, NULL);
    l->page = NULL;
}

void region_list_deinit(struct region_list *l)
{
    free(l->page);
    pthread_mutex_destroy(&l->lock);
}

// Another thread of the parent may have been filling the page.
void region_list_forked(struct region_list *l)
{
    pthread_mutex_init(&l->lock, NULL);
    if (l->page)
        l->page->n = 0;
}

static uint64_t cursor_of(const struct handle *h)
{
    uint64_t half = 0;

    for (size_t i = 0; i < HALF; i++)
        half = half << 8 | h->bytes[i];
    return half ? half : 1;
}

// The last handle with this first half.
static struct handle last_handle(uint64_t cursor)
{
    struct handle h;

    memset(h.bytes, 0xff, sizeof h.bytes);
    for (size_t i = HALF; i-- > 0; cursor >>= 8)
        h.bytes[i] = (uint8_t)cursor;
    return h;
}

static const struct diskalloc_region_info *find_in_page(const struct region_page *page, uint64_t cursor)
{
    for (size_t i = 0; i + 1 < page->n; i++)
        if (cursor_of(&page->handles[i]) == cursor && cursor_of(&page->handles[i + 1]) > cursor)
            return &page->items[i + 1];
    return NULL;
}

// A page can be empty, and not the last one.
static int read_page(struct region_page *page, struct backend *backend, uint64_t cursor)
{
    struct handle after = last_handle(cursor);
    const struct handle *from = cursor ? &after : NULL;

    do {
        int r;

        page->n = 0;
        page->more = false;
        r = backend->ops->list(backend, from, page);
        if (r < 0) {
            page->n = 0;
            return r;
        }
        after = page->last;
        from = &after;
    } while (page->n == 0 && page->more);
    return 0;
}

static int next(struct region_list *l, struct backend *backend, uint64_t *cursor, struct diskalloc_region_info *ret)
{
    const struct diskalloc_region_info *found = NULL;
    int r = 0;

    if (!l->page)
        l->page = calloc(1, sizeof *l->page);
    if (!l->page)
        return -ENOMEM;
    if (*cursor)
        found = find_in_page(l->page, *cursor);
    if (!found) {
        r = read_page(l->page, backend, *cursor);
        found = r == 0 && l->page->n > 0 ? l->page->items : NULL;
    }
    if (!found)
        return r;
    *cursor = cursor_of(&l->page->handles[found - l->page->items]);
    *ret = *found;
    return 1;
}

int region_list_next(struct region_list *l, struct backend *backend, uint64_t *cursor,
                     struct diskalloc_region_info *ret)
{
    int r;

    pthread_mutex_lock(&l->lock);
    r = next(l, backend, cursor, ret);
    pthread_mutex_unlock(&l->lock);
    return r;
}
