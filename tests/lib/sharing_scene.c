// See sharing_scene.h.
#include "tests/lib/sharing_scene.h"

#include <poll.h>

void pair_open(struct pair *p, struct test_backend *b, uint32_t flags)
{
    *p = (struct pair){.mine = b->da};
    assert_int_equal(diskalloc_open(b->address, NULL, &p->theirs), 0);
    assert_int_equal(open_named(p->mine, "shared", SIZE, DISKALLOC_REGION_CREATE, &p->a), 0);
    assert_int_equal(open_named(p->theirs, "shared", 0, flags, &p->b), 0);
    memset(diskalloc_region_data(p->a), 5, SIZE);
}

void pair_close(struct pair *p)
{
    diskalloc_region_close(p->b);
    diskalloc_close(p->theirs);
    diskalloc_region_close(p->a);
    assert_int_equal(diskalloc_region_unlink(p->mine, "shared"), 0);
}

bool has_access(struct diskalloc_region *r, uint64_t offset)
{
    char *data = diskalloc_region_data(r);
    int ends[2];
    bool can;

    assert_return_code(pipe(ends), errno);
    can = write(ends[1], data + offset, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return can;
}

void expect_event(struct diskalloc *da, struct diskalloc_region *r, int kind, uint64_t size)
{
    struct pollfd p = {.fd = diskalloc_event_fd(da), .events = POLLIN};
    struct diskalloc_event e = {0};
    int n;

    while ((n = diskalloc_next_event(da, &e, sizeof e)) == 0)
        assert_true(poll(&p, 1, 60000) > 0);
    assert_int_equal(n, 1);
    assert_int_equal(e.kind, kind);
    assert_string_equal(e.handle, diskalloc_region_handle(r));
    assert_int_equal(e.size, size);
}

void expect_end_of_ask(struct diskalloc *da, struct diskalloc_region *r)
{
    expect_event(da, r, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    expect_event(da, r, DISKALLOC_EVENT_REGION_RESIZED, SIZE);
}

void expect_no_event(struct diskalloc *da)
{
    struct diskalloc_event e;

    usage_of(da);
    assert_int_equal(diskalloc_next_event(da, &e, sizeof e), 0);
}

static void *cut_main(void *data)
{
    struct cut *c = data;

    if (c->timeout_ms)
        c->result = diskalloc_region_resize_wait(c->region, c->size, c->timeout_ms);
    else
        c->result = diskalloc_region_resize(c->region, c->size);
    return NULL;
}

void cut_begin(struct cut *c, struct diskalloc_region *r, uint64_t size, int timeout_ms)
{
    *c = (struct cut){.region = r, .size = size, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&c->thread, NULL, cut_main, c), 0);
}

int cut_end(struct cut *c)
{
    assert_int_equal(pthread_join(c->thread, NULL), 0);
    return c->result;
}
