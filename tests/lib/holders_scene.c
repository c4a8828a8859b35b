// See holders_scene.h.
#include "tests/lib/holders_scene.h"

#include <sys/mman.h>

#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"

struct scene *scene_start(bool named)
{
    return scene_start_with(named, NULL);
}

struct scene *scene_start_with(bool named, const char *config)
{
    struct scene *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->handle = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s->handle != MAP_FAILED);
    s->named = named;
    test_daemon_start(&s->daemon, config, NULL);
    return s;
}

void scene_end(struct scene *s)
{
    test_daemon_stop_and_remove(&s->daemon);
    munmap(s->handle, 4096);
    free(s);
}

int scene_attach(struct diskalloc *da, const struct scene *s, struct diskalloc_region **ret)
{
    return s->named ? diskalloc_region_open(da, "shared", NULL, ret)
                    : diskalloc_region_attach(da, s->handle, NULL, ret);
}

bool is_filled(const struct diskalloc_region *r)
{
    const char *data = diskalloc_region_data(r);

    for (size_t i = 0; i < SIZE; i += 512)
        if (data[i] != 'a')
            return false;
    return true;
}

void close_sockets(const struct actor *self)
{
    for (int fd = 3; fd < 100; fd++)
        if (fd != self->to && fd != self->from)
            close(fd);
}

// Makes the region and fills it.  Then, when told: loses its sockets if LOSS is CLOSED_SOCKETS; looks at its bytes;
// comes back; closes the region.
static void hold(struct actor *self, struct scene *s, bool closes_sockets)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    struct diskalloc_usage u;
    struct diskalloc *da;

    o.size = SIZE;
    o.flags = s->named ? DISKALLOC_REGION_CREATE : 0;
    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED((s->named ? diskalloc_region_open(da, "shared", &o, &r) : diskalloc_region_create(da, &o, &r)) == 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    strcpy(s->handle, diskalloc_region_handle(r));
    actor_next(self);
    if (closes_sockets)
        close_sockets(self);
    actor_next(self);
    NEED(is_filled(r));
    actor_next(self);
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0);
    actor_next(self);
    NEED(is_filled(r));
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
    pause();
}

void hold_and_close_sockets(struct actor *self, void *data)
{
    hold(self, data, true);
}

void hold_only(struct actor *self, void *data)
{
    hold(self, data, false);
}

void disconnect_everybody(const struct scene *s)
{
    uint64_t n = 0;
    struct raw c;
    char me[16];

    snprintf(me, sizeof me, "+%u", geteuid());
    assert_int_equal(raw_open(&c, s->daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_disconnect_user(&c, me, &n), RAW_CODE(OK));
    raw_close(&c);
}

void expect_refused(struct diskalloc_region *r)
{
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(r, 4096));
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_discard", diskalloc_region_discard(r, 0, SIZE / 2));
}

void expect_granted(struct diskalloc_region *r)
{
    assert_int_equal(diskalloc_region_discard(r, 0, 65536), 0);
    assert_int_equal(diskalloc_region_resize(r, 4096), 0);
}

bool is_granted(void *data)
{
    return diskalloc_region_resize(data, SIZE / 2) == 0;
}

// More processes than the daemon keeps by name.
void idle(struct actor *self, void *data)
{
    struct scene *s = data;
    struct diskalloc_region *r;
    struct diskalloc *da;

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED(scene_attach(da, s, &r) == 0);
    actor_next(self);
    NEED(is_filled(r));
    actor_done(self);
    pause();
}
