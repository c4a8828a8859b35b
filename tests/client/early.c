// Early growth of a vector: the vector does not wait for it, and notices nothing where it fails.
#include "tests/lib/early_growth.h"
#include "tests/lib/fake_daemon.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/statvfs.h>

#include "client/diskalloc.h"
#include "proto/util/container.h"

// Nothing is granted early above three quarters of the disk, which others may be filling.
static bool is_disk_too_full(void)
{
    struct statvfs fs;

    assert_return_code(statvfs(test_base_dir(), &fs), errno);
    if ((fs.f_bavail - fs.f_blocks / 4) * fs.f_frsize < 4 * GIB || fs.f_bavail < fs.f_blocks / 4) {
        print_message("skipped: the disk of %s is too full for growing early\n", test_base_dir());
        return true;
    }
    return false;
}

struct expected_size {
    struct diskalloc_region *r;
    uint64_t above;
};

static bool has_grown(void *data)
{
    const struct expected_size *e = data;

    return diskalloc_region_refresh(e->r) >= 0 && diskalloc_region_size(e->r) > e->above;
}

static void a_vector_grows_before_it_has_to(struct test_backend *b)
{
    struct expected_size grown;
    struct diskalloc_region *r;
    uint64_t before;
    struct u64s v;

    if (is_disk_too_full())
        return;
    assert_int_equal(u64s_init(&v, b->da), 0);
    r = v.region;
    push_to(&v, 4 * MIB + 8);
    before = diskalloc_region_size(r);
    while (v.len * 8 + 4096 < before)
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
    grown = (struct expected_size){r, before};
    test_wait_until(has_grown, &grown, 30, "the region has grown");
    assert_int_equal(file_size(r), diskalloc_region_size(r));
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_vector_grows_before_it_has_to)

static void a_granted_answer_is_taken_over_without_asking_again(void **state)
{
    struct test_backend b;
    uint64_t before;
    struct u64s v;

    (void)state;
    if (is_disk_too_full())
        skip();
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(u64s_init(&v, b.da), 0);
    push_until_asked(&v);
    before = diskalloc_region_size(v.region);
    assert_true(region_settle_early(v.region, true) >= 0);
    assert_false(is_on_its_way(&v));
    assert_true(diskalloc_region_size(v.region) > before);
    assert_int_equal(region_settle_early(v.region, true), 0);
    ((char *)diskalloc_region_data(v.region))[diskalloc_region_size(v.region) - 1] = 1;
    u64s_deinit(&v);
    backend_stop(&b);
}

// Keeps the client's thread from other tasks until it may go on.
struct occupation {
    struct background_task task;
    sem_t may_go_on;
    atomic_bool over;
};

static enum background_result occupy(struct background_task *t)
{
    struct occupation *o = container_of(t, struct occupation, task);

    while (sem_wait(&o->may_go_on) < 0)
        continue;
    atomic_store(&o->over, true);
    return BACKGROUND_DONE;
}

static bool is_over(void *data)
{
    return atomic_load(&((struct occupation *)data)->over);
}

// In a directory the client's thread grows the file, when it comes to that.
static void a_region_that_was_shrunk_meanwhile_is_not_grown(void **state)
{
    struct occupation first = {.task.run = occupy}, last = {.task.run = occupy};
    struct diskalloc_region *r;
    struct background *thread;
    struct test_backend b;
    struct u64s v;

    (void)state;
    if (is_disk_too_full())
        skip();
    sem_init(&first.may_go_on, 0, 0);
    sem_init(&last.may_go_on, 0, 1);
    backend_start(&b, false, NULL, NULL);
    assert_int_equal(u64s_init(&v, b.da), 0);
    push_to(&v, 2 * MIB + 8);
    r = v.region;
    thread = &r->da->background;
    assert_true(background_start(thread));
    background_submit(thread, &first.task);
    while (r->early_size == 0)
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
    assert_int_equal(u64s_truncate(&v, 1000), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    sem_post(&first.may_go_on);
    background_submit(thread, &last.task);
    test_wait_until(is_over, &last, 60, "the client's thread has done all that was asked before");
    background_cancel(thread, &first.task);
    background_cancel(thread, &last.task);
    assert_int_equal(diskalloc_region_size(r), 8000);
    assert_int_equal(file_size(r), 8000);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    backend_stop(&b);
}

#define LIMIT (20 * MIB + 12 * KIB) // no multiple of a window

static void a_refused_early_growth_is_no_error_and_the_limit_can_be_filled_to_the_last_block(void **state)
{
    struct diskalloc_error_info info;
    bool refused = false;
    struct test_backend b;
    struct u64s v;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 20492K\n", NULL);
    assert_int_equal(u64s_init(&v, b.da), 0);
    while (v.len < LIMIT / 8) {
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
        refused |= v.region->early_refused > 0;
        if (v.len % 100000 == 0)
            assert_string_equal(diskalloc_last_error(), "");
    }
    assert_true(refused);
    assert_int_equal(usage_of(b.da).bytes, LIMIT);
    info = EXPECT_FAILURE(-EDQUOT, "u64s_push", u64s_push(&v, 1));
    assert_true(strncmp(info.limit_name, "user:", 5) == 0 && strstr(info.limit_name, "bytes"));
    assert_int_equal(info.limit, LIMIT);
    assert_int_equal(info.used, LIMIT);
    assert_true(info.asked > 0);
    assert_string_equal(info.handle, diskalloc_region_handle(v.region));
    assert_int_equal(v.len, LIMIT / 8);
    assert_true(is_content_right(&v));
    assert_int_equal(u64s_push(&v, 1), -EDQUOT);
    assert_int_equal(u64s_truncate(&v, 10), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    push_to(&v, LIMIT);
    u64s_deinit(&v);
    backend_stop(&b);
}

static void a_daemon_that_dies_with_one_on_its_way_is_followed_by_the_next(void **state)
{
    struct test_backend b;
    struct u64s v;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(u64s_init(&v, b.da), 0);
        push_to(&v, i * 5 * MIB);
        if (i % 2) // so that it has not answered
            test_daemon_halt(&b.daemon);
        push_until_asked(&v);
        test_daemon_kill(&b.daemon, SIGKILL);
        test_daemon_restart(&b.daemon);
        push_to(&v, v.len * 8 + 30 * MIB);
        assert_true(is_content_right(&v));
        assert_int_equal(diskalloc_region_refresh(v.region), 0);
        assert_int_equal(file_size(v.region), diskalloc_region_size(v.region));
        u64s_deinit(&v);
    }
    backend_stop(&b);
}

// The daemon of tests/play.h has no features.
static void a_daemon_without_the_feature_is_never_asked_early(void **state)
{
    struct play p = {.connections = {""}};
    struct diskalloc *da;
    struct u64s v;
    size_t n_grows;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(u64s_init(&v, da), 0);
    p.size = 256 * KIB; // a create does not set it there
    assert_return_code(ftruncate(p.file, 256 * KIB), errno);
    assert_true(diskalloc_region_refresh(v.region) >= 0);
    n_grows = p.n_grows;
    push_to(&v, 255 * KIB);
    assert_false(is_on_its_way(&v));
    assert_int_equal(p.n_grows, n_grows);
    push_to(&v, 257 * KIB);
    assert_int_equal(p.n_grows, n_grows + 1);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    diskalloc_close(da);
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_vector_grows_before_it_has_to),
        TEST(a_granted_answer_is_taken_over_without_asking_again),
        TEST(a_region_that_was_shrunk_meanwhile_is_not_grown),
        TEST(a_refused_early_growth_is_no_error_and_the_limit_can_be_filled_to_the_last_block),
        TEST(a_daemon_that_dies_with_one_on_its_way_is_followed_by_the_next),
        TEST(a_daemon_without_the_feature_is_never_asked_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
