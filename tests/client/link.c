// The connection to a daemon that fails at chosen places.
#include "tests/lib/fake_daemon.h"
#include "tests/lib/scratch.h"

static void a_grow_whose_answer_was_lost_is_repeated(void **state)
{
    struct play p = {.connections = {"..d", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    ((char *)diskalloc_region_data(r))[4999] = 1;
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGD");
}

static void a_shrink_that_was_done_is_not_done_twice(void **state)
{
    struct play p = {.connections = {"...d", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 50000), 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGSHATD");
}

static void a_shrink_that_was_not_done_is_asked_for_again(void **state)
{
    struct play p = {.connections = {"...x", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 50000), 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    assert_int_equal(p.size, 5000);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGSHATSD");
}

static void a_daemon_that_shuts_down_is_left_for_the_next(void **state)
{
    struct play p = {.connections = {"..s", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGD");
}

static void an_unlink_that_was_done_already_is_done(void **state)
{
    struct play p = {.connections = {".d", ".n"}}, again = {.connections = {".n"}};
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(diskalloc_region_unlink(da, "name"), 0);
    diskalloc_close(da);
    play_end(&p);
    play_start(&again);
    da = client_of(&again, -1);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_unlink", diskalloc_region_unlink(da, "name"));
    diskalloc_close(da);
    play_end(&again);
}

static void a_region_that_the_next_daemon_does_not_know_is_stale_and_keeps_its_memory(void **state)
{
    struct play p = {.connections = {"...x", ".nn"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    memset(diskalloc_region_data(r), 3, 5000);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 6000));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_commit", diskalloc_region_commit(r, 1, 1, 0));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_refresh", diskalloc_region_refresh(r));
    assert_int_equal(diskalloc_region_size(r), 5000);
    assert_int_equal(((char *)diskalloc_region_data(r))[4999], 3);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
}

static void without_reconnecting_a_lost_daemon_stays_lost(void **state)
{
    struct play p = {.connections = {"..x", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, 0);
    r = make_region(da, 0);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    assert_int_equal(diskalloc_region_size(r), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCG");
}

static void a_request_that_every_daemon_hangs_up_on_is_not_repeated_for_ever(void **state)
{
    struct play p = {.connections = {"..x", "..x", "..x"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, 1);
    r = make_region(da, 0);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAG");
}

static void a_size_that_nobody_is_sure_of_is_asked_for_before_a_resize_says_that_it_is_there(void **state)
{
    struct play p = {.connections = {"...d", "..q"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 50000), 0);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    assert_int_equal(p.size, 5000);
    assert_int_equal(diskalloc_region_resize(r, 50000), 0);
    assert_int_equal(p.size, 50000);
    ((char *)diskalloc_region_data(r))[49999] = 1;
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGSHATTGD");
}

struct job {
    struct play *p;
    int sock;
};

static void *serve_job(void *data)
{
    const struct job *job = data;

    play_serve(job->p, job->sock, "");
    return NULL;
}

static void *close_region(void *region)
{
    diskalloc_region_close(region);
    return NULL;
}

static void *get_any_usage(void *da)
{
    struct diskalloc_usage usage;

    assert_int_equal(diskalloc_get_usage(da, NULL, &usage, sizeof usage), 0);
    return NULL;
}

// The daemon that comes next answers Hello only when the region is closed.
static void a_region_may_be_closed_while_another_thread_attaches_it_again(void **state)
{
    struct play p = {.connections = {"...x"}};
    struct diskalloc_region *first, *second = NULL;
    static uint8_t bytes[PACKET_MAX];
    struct diskalloc *da;
    pthread_t asking, closing, serving;
    struct job job;
    int sock, fd = -1;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    first = make_region(da, 0);
    assert_int_equal(diskalloc_region_attach(da, diskalloc_region_handle(first), NULL, &second), 0);
    assert_int_equal(pthread_create(&asking, NULL, get_any_usage, da), 0);
    sock = accept4(p.listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(sock >= 0);
    assert_true(packet_receive(sock, bytes, sizeof bytes, MSG_PEEK, &fd) > 0);
    assert_int_equal(pthread_create(&closing, NULL, close_region, first), 0);
    pthread_join(closing, NULL);
    pthread_join(p.thread, NULL);
    p.joined = true;
    job = (struct job){&p, sock};
    assert_int_equal(pthread_create(&serving, NULL, serve_job, &job), 0);
    pthread_join(asking, NULL);
    diskalloc_region_close(second);
    diskalloc_close(da);
    pthread_join(serving, NULL);
    play_end(&p);
    assert_string_equal(p.seen, "HCAQHAAQD");
}

static void closing_waits_for_no_answer(void **state)
{
    struct play p = {.connections = {"..-"}};
    struct diskalloc *da;
    struct diskalloc_usage u;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    diskalloc_region_close(make_region(da, 0));
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCDQ");
}

static void *ask_usage(void *data)
{
    struct diskalloc_usage u = {0};

    assert_int_equal(diskalloc_get_usage(data, NULL, &u, sizeof u), 0);
    return (void *)(uintptr_t)u.bytes; // the id of the request
}

static void replies_in_any_order_find_their_threads(void **state)
{
    struct play p = {.connections = {".<.<.<.<."}};
    struct diskalloc *da;
    uintptr_t ids = 0;
    pthread_t threads[8];

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_usage, da), 0);
    for (int i = 0; i < 8; i++) {
        void *id;

        pthread_join(threads[i], &id);
        ids |= (uintptr_t)1 << (uintptr_t)id;
    }
    assert_int_equal(__builtin_popcountl(ids), 8); // each got another's never
    diskalloc_close(da);
    play_end(&p);
}

static void a_socket_number_that_the_program_took_costs_a_reconnect_and_nothing_else(void **state)
{
    struct play p = {.connections = {"..", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;
    struct stat st;
    int taken = open(test_base_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), sock;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    sock = find_socket(p.at.address + strlen("unix:"));
    assert_true(sock >= 0 && taken >= 0);
    assert_int_equal(dup3(taken, sock, O_CLOEXEC), sock);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_return_code(fstat(sock, &st), errno); // it is still the program's
    assert_int_equal(st.st_size, 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    assert_return_code(fstat(sock, &st), errno);
    close(sock);
    close(taken);
    play_end(&p);
    assert_string_equal(p.seen, "HCHAGD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_grow_whose_answer_was_lost_is_repeated),
        TEST(a_shrink_that_was_done_is_not_done_twice),
        TEST(a_shrink_that_was_not_done_is_asked_for_again),
        TEST(a_daemon_that_shuts_down_is_left_for_the_next),
        TEST(an_unlink_that_was_done_already_is_done),
        TEST(a_region_that_the_next_daemon_does_not_know_is_stale_and_keeps_its_memory),
        TEST(without_reconnecting_a_lost_daemon_stays_lost),
        TEST(a_request_that_every_daemon_hangs_up_on_is_not_repeated_for_ever),
        TEST(a_size_that_nobody_is_sure_of_is_asked_for_before_a_resize_says_that_it_is_there),
        TEST(a_region_may_be_closed_while_another_thread_attaches_it_again),
        TEST(closing_waits_for_no_answer),
        TEST(replies_in_any_order_find_their_threads),
        TEST(a_socket_number_that_the_program_took_costs_a_reconnect_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
