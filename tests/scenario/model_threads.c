// Any thread may use any region of a client.
#include "tests/lib/test_backend.h"

#include <pthread.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { THREADS = 8, ROUNDS = SANITIZED ? 60 : 400 };

struct worker {
    pthread_t thread;
    struct test_backend *b;
    struct diskalloc_region *shared;
    uint64_t id;
    const char *wrong; // NULL: all is well; cmocka's assertions belong to the main thread
};

#define CHECK(w, condition)          \
    do {                             \
        if (!(condition)) {          \
            (w)->wrong = #condition; \
            return NULL;             \
        }                            \
    } while (0)

// TSan leaves room for few reservations of the default size.
static int small_vector(struct u64s *v, struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    int code;

    o.reserve = GIB;
    code = diskalloc_region_create(da, &o, &r);
    return code ? code : u64s_init_region(v, r);
}

static void *use_own_regions(void *data)
{
    struct worker *w = data;

    for (int round = 0; round < ROUNDS / 20; round++) {
        struct u64s v[4] = {{0}};

        for (size_t k = 0; k < 4; k++)
            CHECK(w, small_vector(&v[k], w->b->da) == 0);
        for (uint64_t i = 0; i < 20000; i++)
            CHECK(w, u64s_push(&v[i % 4], i ^ w->id) == 0);
        for (uint64_t i = 0; i < 20000; i++)
            CHECK(w, v[i % 4].data[i / 4] == (i ^ w->id));
        for (size_t k = 0; k < 4; k++) {
            CHECK(w, u64s_truncate(&v[k], 10) == 0);
            CHECK(w, u64s_shrink_to_fit(&v[k]) == 0);
            CHECK(w, v[k].data[9] == ((36 + k) ^ w->id));
            u64s_deinit(&v[k]);
        }
    }
    return NULL;
}

static void *resize_the_shared_region(void *data)
{
    struct worker *w = data;
    uint64_t *slot = (uint64_t *)diskalloc_region_data(w->shared) + w->id;

    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t size = 4096 + (round * 7919 + w->id * 104729) % (8 * MIB);

        CHECK(w, diskalloc_region_resize(w->shared, size) == 0);
        *slot = round;
        CHECK(w, diskalloc_region_size(w->shared) >= 4096);
        CHECK(w, *slot == round);
    }
    return NULL;
}

// Failures of one thread are not another's.
static void *fail_and_read_ones_own_error(void *data)
{
    struct worker *w = data;
    struct diskalloc_region *r = NULL;
    char name[40];

    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct diskalloc_error_info info;

        if (w->id % 2) {
            snprintf(name, sizeof(name), "absent-%u-%u", (unsigned)w->id, (unsigned)round);
            CHECK(w, open_named(w->b->da, name, 0, 0, &r) == -ENOENT);
            CHECK(w, diskalloc_last_error_info(&info, sizeof(info)) == 0 && info.code == -ENOENT);
            CHECK(w, diskalloc_last_error()[0] != '\0');
        } else {
            CHECK(w, open_named(w->b->da, ".bad", 0, 0, &r) == -EINVAL);
            CHECK(w, diskalloc_last_error_info(&info, sizeof(info)) == 0 && info.code == -EINVAL);
        }
    }
    return NULL;
}

static void run_threads(struct test_backend *b, struct diskalloc_region *shared, void *(*fn)(void *data))
{
    struct worker workers[THREADS];

    memset(workers, 0, sizeof(workers));
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.b = b, .shared = shared, .id = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, fn, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        if (workers[i].wrong)
            fail_msg("thread %zu: not so: %s", i, workers[i].wrong);
}

static void eight_threads_use_regions_of_their_own_on_one_client(struct test_backend *b)
{
    run_threads(b, NULL, use_own_regions);
}
FOR_EACH_BACKEND(eight_threads_use_regions_of_their_own_on_one_client)

static void threads_that_resize_one_region_take_turns(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *shared = NULL;

    o.size = 4096;
    o.reserve = GIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &shared), 0);
    run_threads(b, shared, resize_the_shared_region);
    assert_int_equal(diskalloc_region_size(shared), file_size(shared));
    memset(diskalloc_region_data(shared), 1, diskalloc_region_size(shared));
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, (diskalloc_region_size(shared) + 4095) / 4096 * 4096);
    diskalloc_region_close(shared);
}
FOR_EACH_BACKEND(threads_that_resize_one_region_take_turns)

static void each_thread_reads_its_own_error(struct test_backend *b)
{
    run_threads(b, NULL, fail_and_read_ones_own_error);
}
FOR_EACH_BACKEND(each_thread_reads_its_own_error)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(eight_threads_use_regions_of_their_own_on_one_client),
        EACH_BACKEND(threads_that_resize_one_region_take_turns),
        EACH_BACKEND(each_thread_reads_its_own_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
