// The list of regions of a directory: the named ones that the caller may read, and the anonymous ones of this process.
// A page is the regions with the lowest handles behind a given one, so the whole directory is looked at for each page.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "client/local/local_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

struct search {
    const struct handle *after; // NULL: from the beginning
    struct region_page *page;
};

static int compare(const struct handle *a, const struct handle *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

// The place of a new item in the page, whose last one goes if the page is full; NULL: it does not belong there.
static struct diskalloc_region_info *insert(struct search *s, const struct handle *handle)
{
    struct region_page *page = s->page;
    size_t i = page->n;

    if (s->after && compare(handle, s->after) <= 0)
        return NULL;
    while (i > 0 && compare(handle, &page->handles[i - 1]) < 0)
        i--;
    if (i > 0 && handle_equal(handle, &page->handles[i - 1]))
        return NULL;
    page->more |= page->n == REGION_PAGE;
    if (i == REGION_PAGE)
        return NULL;
    page->n -= page->n == REGION_PAGE;
    memmove(&page->handles[i + 1], &page->handles[i], (page->n - i) * sizeof page->handles[0]);
    memmove(&page->items[i + 1], &page->items[i], (page->n - i) * sizeof page->items[0]);
    page->n++;
    page->handles[i] = *handle;
    return &page->items[i];
}

// RECORD has at least the handle, the owner, the mode and SPARSE.
static void describe(struct search *s, int fd, const struct record *record, const char *name)
{
    bool committed = record->flags & RECORD_COMMITTED;
    struct diskalloc_region_info *info;
    struct stat st;

    if (file_ops_system.stat(fd, &st) < 0)
        return;
    info = insert(s, &record->handle);
    if (!info)
        return;
    *info = (struct diskalloc_region_info){
        .owner = st.st_uid,
        .mode = record->mode,
        .flags = record->flags & RECORD_SPARSE ? DISKALLOC_REGION_SPARSE : 0,
        .element_size = committed ? record->element_size : 0,
        .size = (uint64_t)st.st_size,
        .granted = align_up((uint64_t)st.st_size, DISCARD_BLOCK),
        .used = committed ? u64_min(record->used, (uint64_t)st.st_size) : 0,
        .created_s = record->created,
    };
    if (record->flags & (RECORD_SPARSE | RECORD_HAS_HOLES))
        info->granted = u64_min(info->granted, (uint64_t)st.st_blocks * 512);
    handle_format(&record->handle, info->handle);
    strcpy(info->name, name);
}

static void add_anonymous(const struct local_backing *b, void *data)
{
    struct record record = {0};

    if (b->name[0])
        return;
    // Without a commit or holes there is no record.
    if (record_load(&file_ops_system, b->base.file.fd, &record) < 0)
        record = (struct record){.flags = b->base.sparse ? RECORD_SPARSE : 0, .mode = 0600};
    record.handle = b->base.handle;
    describe(data, b->base.file.fd, &record, "");
}

static void count_attached(const struct local_backing *b, void *data)
{
    struct region_page *page = data;

    for (size_t i = 0; i < page->n; i++)
        page->items[i].attached += handle_equal(&page->handles[i], &b->base.handle);
}

int local_list(struct backend *backend, const struct handle *after, struct region_page *ret)
{
    struct local *l = (struct local *)backend;
    struct search s = {.after = after, .page = ret};
    _cleanup_closedir_ DIR *d = NULL;
    int r = local_read_directory(l, &d);

    if (r < 0)
        return r;
    assert(d);
    for (struct dirent *e; (errno = 0, e = readdir(d));) {
        _cleanup_close_ int fd = -1;
        struct record record;

        if (local_may_be_region(e))
            fd = local_open_named(l, e->d_name, (uid_t)-1, true, &record, NULL);
        // A list without the region would look complete.
        if (local_is_shortage(fd))
            return error_why(fd, "opening %s", e->d_name);
        if (fd >= 0)
            describe(&s, fd, &record, e->d_name);
    }
    r = -errno;
    // Reasons why files are no regions.
    error_forget();
    if (r < 0)
        return error_why(r, "reading the directory");
    local_visit(l, add_anonymous, &s);
    local_visit(l, count_attached, ret);
    if (ret->n > 0)
        ret->last = ret->handles[ret->n - 1];
    return 0;
}
