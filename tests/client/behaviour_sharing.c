// Other users of a region: read-only attachments, unlinking, other processes, forked children.
#include "tests/lib/actor.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static void a_read_only_region_refuses_every_change(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *writable = NULL;
    struct u64s v = {0};
    uint64_t *more;

    assert_int_equal(open_named(b->da, "book", 800, DISKALLOC_REGION_CREATE, &writable), 0);
    memset(diskalloc_region_data(writable), 1, 800);
    assert_int_equal(open_named(b->da, "book", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    EXPECT_FAILURE(-EROFS, "diskalloc_region_resize", diskalloc_region_resize(r, 8000));
    EXPECT_FAILURE(-EROFS, "diskalloc_region_resize", diskalloc_region_resize(r, 8));
    EXPECT_FAILURE(-EROFS, "diskalloc_region_commit", diskalloc_region_commit(r, 8, 8, 0));
    assert_int_equal(diskalloc_region_size(r), 800);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(v.len, 100);
    assert_int_equal(u64s_push(&v, 1), -EROFS);
    assert_int_equal(u64s_pop(&v, NULL), -EROFS);
    assert_int_equal(u64s_resize(&v, 5), -EROFS);
    assert_int_equal(u64s_resize(&v, 500), -EROFS);
    assert_int_equal(u64s_append_uninit(&v, 1, &more), -EROFS);
    assert_int_equal(u64s_extend(&v, v.data, 1), -EROFS);
    assert_int_equal(u64s_truncate(&v, 5), -EROFS);
    assert_int_equal(u64s_insert(&v, 0, 1), -EROFS);
    assert_int_equal(u64s_remove(&v, 0, NULL), -EROFS);
    assert_int_equal(u64s_swap_remove(&v, 0, NULL), -EROFS);
    assert_int_equal(u64s_commit(&v, 0), -EROFS);
    assert_int_equal(v.len, 100);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(v.data[i], 0x0101010101010101);
    u64s_deinit(&v);
    diskalloc_region_close(writable);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(a_read_only_region_refuses_every_change)

static void store_to_a_read_only_region(void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    signal(SIGSEGV, SIG_DFL); // a sanitizer's handler would turn it into an exit
    if (diskalloc_open(data, NULL, &da) == 0 && open_named(da, "book", 0, DISKALLOC_REGION_READ_ONLY, &r) == 0)
        *(volatile char *)diskalloc_region_data(r) = 1;
    _exit(0);
}

static void a_store_to_a_read_only_region_is_a_fault(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    int status;

    assert_int_equal(open_named(b->da, "book", 800, DISKALLOC_REGION_CREATE, &r), 0);
    status = test_in_child(store_to_a_read_only_region, b->address, (uid_t)-1);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_int_equal(*(char *)diskalloc_region_data(r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(a_store_to_a_read_only_region_is_a_fault)

static void an_unlinked_region_keeps_its_memory_and_refuses_the_rest(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *other = NULL;
    uint8_t *data;

    assert_int_equal(open_named(b->da, "leaving", 10000, DISKALLOC_REGION_CREATE, &r), 0);
    data = diskalloc_region_data(r);
    memset(data, 0x55, 10000);
    assert_int_equal(diskalloc_region_unlink(b->da, "leaving"), 0);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(b->da, "leaving", 0, 0, &other));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 20000));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 10));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_commit", diskalloc_region_commit(r, 8, 8, 0));
    assert_int_equal(diskalloc_region_size(r), 10000);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(data[i], 0x55);
    memset(data, 0x66, 10000);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, 12288);
    // The name is free for another one, which has nothing to do with it.
    assert_int_equal(open_named(b->da, "leaving", 4096, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &other),
                     0);
    assert_int_equal(*(uint8_t *)diskalloc_region_data(other), 0);
    assert_int_equal(data[9999], 0x66);
    diskalloc_region_close(r);
    diskalloc_region_close(other);
    assert_int_equal(diskalloc_region_unlink(b->da, "leaving"), 0);
}
FOR_EACH_BACKEND(an_unlinked_region_keeps_its_memory_and_refuses_the_rest)

// Holds "book" until it is told otherwise, then grows it.
static void hold_the_book(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    uint8_t *bytes;

    actor_wait(self);
    NEED(diskalloc_open(data, NULL, &da) == 0);
    NEED(open_named(da, "book", 0, 0, &r) == 0);
    bytes = diskalloc_region_data(r);
    NEED(diskalloc_region_size(r) == 50000 && bytes[49999] == 7);
    actor_next(self);
    bytes[49999] = 8;
    NEED(diskalloc_region_resize(r, 90000) == 0);
    bytes[89999] = 9;
    actor_next(self);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
}

static void a_shrink_while_another_process_is_attached_is_refused(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct actor other;
    uint8_t *data;

    actor_start(&other, hold_the_book, b->address, (uid_t)-1);
    assert_int_equal(open_named(b->da, "book", 50000, DISKALLOC_REGION_CREATE, &r), 0);
    data = diskalloc_region_data(r);
    data[49999] = 7;
    actor_go(&other);
    actor_await(&other); // it is attached
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(r, 10));
    assert_int_equal(diskalloc_region_size(r), 50000);
    assert_int_equal(file_size(r), 50000);
    assert_int_equal(data[49999], 7);
    assert_int_equal(diskalloc_region_refresh(r), 0);
    actor_go(&other);
    actor_await(&other); // it has grown the region
    assert_int_equal(data[49999], 8);
    assert_int_equal(diskalloc_region_size(r), 50000);
    assert_int_equal(diskalloc_region_refresh(r), 1);
    assert_int_equal(diskalloc_region_size(r), 90000);
    assert_int_equal(data[89999], 9);
    assert_int_equal(diskalloc_region_refresh(r), 0);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, 22 * 4096);
    actor_go(&other);
    actor_await(&other); // it has closed the region and its client
    assert_int_equal(diskalloc_region_resize(r, 10), 0);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, 4096);
    actor_finish(&other);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(a_shrink_while_another_process_is_attached_is_refused)

static void attaching_by_handle_gives_the_same_memory(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *same = NULL;
    struct diskalloc *second = NULL;
    char handle[33];

    assert_int_equal(open_named(b->da, "by-handle", 1000, DISKALLOC_REGION_CREATE, &r), 0);
    snprintf(handle, sizeof(handle), "%s", diskalloc_region_handle(r));
    assert_int_equal(strlen(handle), 32);
    assert_int_equal(strspn(handle, "0123456789abcdef"), 32);
    assert_int_equal(diskalloc_open(b->address, NULL, &second), 0);
    assert_int_equal(diskalloc_region_attach(second, handle, NULL, &same), 0);
    assert_int_equal(diskalloc_region_size(same), 1000);
    assert_string_equal(diskalloc_region_handle(same), handle);
    strcpy(diskalloc_region_data(r), "seen by both");
    assert_string_equal(diskalloc_region_data(same), "seen by both");
    diskalloc_region_close(same);
    diskalloc_close(second);
    strcpy(diskalloc_region_data(r), "still here");
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "by-handle"), 0);
}
FOR_EACH_BACKEND(attaching_by_handle_gives_the_same_memory)

struct inherited {
    struct diskalloc *da;
    struct diskalloc_region *r;
};

static void use_the_inherited_region(void *data)
{
    struct inherited *i = data;
    struct diskalloc_region *again = NULL;
    char *text = diskalloc_region_data(i->r);

    NEED(strcmp(text, "from the parent") == 0);
    NEED(diskalloc_region_resize(i->r, 5000) == -EBUSY); // not before it is attached here
    NEED(diskalloc_region_size(i->r) == 1000);
    strcpy(text, "from the child");
    NEED(diskalloc_region_attach(i->da, diskalloc_region_handle(i->r), NULL, &again) == 0);
    NEED(strcmp(diskalloc_region_data(again), "from the child") == 0);
    NEED(diskalloc_region_resize(again, 100000) == 0);
    strcpy((char *)diskalloc_region_data(again) + 90000, "more");
    diskalloc_region_close(again);
    diskalloc_region_close(i->r);
    diskalloc_close(i->da);
    _exit(0);
}

static void a_forked_child_shares_the_memory_and_works_by_handle(struct test_backend *b)
{
    struct inherited i = {.da = b->da, .r = make_region(b->da, 1000)};
    int status;

    strcpy(diskalloc_region_data(i.r), "from the parent");
    status = test_in_child(use_the_inherited_region, &i, (uid_t)-1);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_string_equal(diskalloc_region_data(i.r), "from the child");
    assert_int_equal(diskalloc_region_refresh(i.r), 1);
    assert_int_equal(diskalloc_region_size(i.r), 100000);
    assert_string_equal((char *)diskalloc_region_data(i.r) + 90000, "more");
    assert_int_equal(diskalloc_region_resize(i.r, 200000), 0);
    diskalloc_region_close(i.r);
}
FOR_EACH_BACKEND(a_forked_child_shares_the_memory_and_works_by_handle)

static void close_everything(void *data)
{
    struct inherited *i = data;

    strcpy(diskalloc_region_data(i->r), "from the child");
    diskalloc_region_close(i->r);
    diskalloc_close(i->da);
    _exit(0);
}

static void a_childs_closing_takes_nothing_from_its_parent(struct test_backend *b)
{
    struct inherited i = {.da = b->da, .r = make_region(b->da, 1000)};
    int status = test_in_child(close_everything, &i, (uid_t)-1);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_string_equal(diskalloc_region_data(i.r), "from the child");
    assert_int_equal(diskalloc_region_resize(i.r, 2 * MIB), 0);
    memset(diskalloc_region_data(i.r), 1, 2 * MIB);
    diskalloc_region_close(i.r);
}
FOR_EACH_BACKEND(a_childs_closing_takes_nothing_from_its_parent)

static void regions_stay_usable_when_their_client_is_closed(struct test_backend *b)
{
    struct diskalloc_region *r;
    struct diskalloc *da = NULL;

    assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
    r = make_region(da, 1000);
    diskalloc_close(da);
    memset(diskalloc_region_data(r), 1, 1000);
    assert_int_equal(diskalloc_region_resize(r, 100000), 0);
    memset(diskalloc_region_data(r), 1, 100000);
    assert_int_equal(file_size(r), 100000);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(regions_stay_usable_when_their_client_is_closed)

static void *unlink_again_and_again(void *data)
{
    struct test_backend *b = data;
    int r;

    for (int i = 0; i < 2000; i++) {
        r = diskalloc_region_unlink(b->da, "comes-and-goes");
        if (r != 0 && r != -ENOENT)
            return "unlinking failed";
    }
    return NULL;
}

static void what_is_made_if_need_be_is_there_whoever_unlinks_it(struct test_backend *b)
{
    pthread_t unlinks;
    void *why;

    assert_int_equal(pthread_create(&unlinks, NULL, unlink_again_and_again, b), 0);
    for (int i = 0; i < 2000; i++) {
        struct diskalloc_region *r = NULL;

        assert_int_equal(open_named(b->da, "comes-and-goes", 4096, DISKALLOC_REGION_CREATE, &r), 0);
        diskalloc_region_close(r);
    }
    pthread_join(unlinks, &why);
    assert_null(why);
    diskalloc_region_unlink(b->da, "comes-and-goes"); // if the other thread has left it
}
FOR_EACH_BACKEND(what_is_made_if_need_be_is_there_whoever_unlinks_it)

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    diskalloc_close(NULL);
    diskalloc_region_close(NULL);
    u64s_deinit(&(struct u64s){0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_read_only_region_refuses_every_change),
        EACH_BACKEND(a_store_to_a_read_only_region_is_a_fault),
        EACH_BACKEND(an_unlinked_region_keeps_its_memory_and_refuses_the_rest),
        EACH_BACKEND(a_shrink_while_another_process_is_attached_is_refused),
        EACH_BACKEND(attaching_by_handle_gives_the_same_memory),
        EACH_BACKEND(a_forked_child_shares_the_memory_and_works_by_handle),
        EACH_BACKEND(a_childs_closing_takes_nothing_from_its_parent),
        EACH_BACKEND(regions_stay_usable_when_their_client_is_closed),
        EACH_BACKEND(what_is_made_if_need_be_is_there_whoever_unlinks_it),
        TEST(closing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
