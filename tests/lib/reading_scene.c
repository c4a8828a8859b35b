#include "tests/lib/reading_scene.h"

#include <fcntl.h>
#include <sys/mman.h>

// ThreadSanitizer would note each read in memory of its own, of which there is too little.
__attribute__((no_sanitize("thread"), noinline)) static uint64_t load(const char *data, uint64_t at)
{
    return *(const volatile uint64_t *)(const void *)(data + at);
}

static void fill(struct diskalloc_region *r)
{
    char *data = diskalloc_region_data(r);

    for (uint64_t at = 0; at < SCENE_SIZE; at += SCENE_STRIDE)
        *(uint64_t *)(void *)(data + at) = ~at;
    assert_int_equal(diskalloc_region_sync(r), 0);
    // By a descriptor of the passthrough fence no page is dropped.
    assert_return_code(madvise(data, SCENE_SIZE, MADV_PAGEOUT), errno);
    assert_return_code(madvise(data, SCENE_SIZE, MADV_DONTNEED), errno);
    assert_int_equal(posix_fadvise(diskalloc_region_fd(r), 0, 0, POSIX_FADV_DONTNEED), 0);
}

void scene_read(struct scene *s, uint64_t at)
{
    NEED(load(diskalloc_region_data(s->r), at) == ~at);
}

static uint64_t random_below(struct scene *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % n;
}

uint64_t scene_random_place(struct scene *s)
{
    return random_below(s, SCENE_SIZE / SCENE_STRIDE) * SCENE_STRIDE;
}

void scene_read_some(struct scene *s, uint64_t from, uint64_t to)
{
    for (int i = 0; i < SCENE_READS; i++)
        scene_read(s, from + random_below(s, (to - from) / SCENE_STRIDE) * SCENE_STRIDE);
}

struct diskalloc_adaptation scene_counted(struct scene *s)
{
    struct diskalloc_adaptation a;

    NEED(diskalloc_get_adaptation(s->da, &a, sizeof a) == 0);
    return a;
}

void scene_read_until_single(struct scene *s, uint64_t n)
{
    uint64_t before = scene_counted(s).to_single;

    while (scene_counted(s).to_single < before + n)
        scene_read_some(s, 0, SCENE_SIZE);
}

void scene_scan_until_all_large(struct scene *s)
{
    for (uint64_t at = 0; scene_counted(s).to_large < scene_counted(s).to_single; at = (at + SCENE_STRIDE) % SCENE_SIZE)
        scene_read(s, at);
}

void scene_read_for_rounds(struct scene *s, uint64_t from, uint64_t to)
{
    uint64_t before = scene_counted(s).rounds;

    while (scene_counted(s).rounds < before + SCENE_ROUNDS)
        scene_read_some(s, from, to);
}

void scene_open(struct scene *s, uint32_t region_flags, uint32_t flags)
{
    struct diskalloc_options options = DISKALLOC_OPTIONS_INIT;

    if (s->limit > 0)
        NEED(cgroup_enter(&s->group) == 0);
    if (s->user != (uid_t)-1)
        actor_become(s->user);
    options.flags = flags;
    NEED(diskalloc_open(s->address, &options, &s->da) == 0);
    NEED(open_named(s->da, s->user == (uid_t)-1 ? "large" : "root/large", SCENE_SIZE, region_flags, &s->r) == 0);
    s->random = 88172645463325252;
}

void scene_close(struct scene *s)
{
    diskalloc_region_close(s->r);
    diskalloc_close(s->da);
}

static void play(void *data)
{
    struct scene *s = data;

    s->play(s);
}

static struct diskalloc_region *make_large(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;

    o.size = SCENE_SIZE;
    o.flags = DISKALLOC_REGION_CREATE;
    o.mode = 0666;
    assert_int_equal(diskalloc_region_open(b->da, "large", &o, &r), 0);
    return r;
}

void scene_run(struct test_backend *b, void (*fn)(struct scene *s), size_t limit)
{
    scene_run_as(b, fn, limit, (uid_t)-1);
}

void scene_run_as(struct test_backend *b, void (*fn)(struct scene *s), size_t limit, uid_t user)
{
    struct scene s = {.address = b->address, .play = fn, .limit = limit, .user = user};
    struct diskalloc_region *r;
    const char *why;
    int status;

    if (limit > 0 && cgroup_make(&s.group, limit, &why) < 0) {
        print_message("skipped: %s\n", why);
        return;
    }
    r = make_large(b);
    fill(r);
    diskalloc_region_close(r);
    status = test_in_child(play, &s, (uid_t)-1);
    cgroup_remove(&s.group);
    assert_int_equal(status, 0);
    assert_int_equal(open_named(b->da, "large", 0, 0, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "large"), 0);
}
