// The daemon's values as messages, and packets that are no messages: daemon/request/message.
#include "tests/lib/op_fixture.h"

#include "daemon/quota/charge.h"
#include "daemon/request/message.h"
#include "proto/errors.h"

enum { N_PEERS = 18 }; // more than a reply names

static void bytes_that_are_no_request_or_do_not_fit_the_memory_are_refused(void **state)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT, *got;
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    struct arena arena, small;
    uint8_t bytes[256];
    size_t n;

    (void)state;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;
    request.create_region = &body;
    n = diskalloc__v1__request__pack(&request, bytes);
    assert_int_equal(arena_init(&arena, 4096), 0);
    assert_int_equal(arena_init(&small, 64), 0);
    assert_int_equal(message_decode(&arena, bytes, n, &got), 0);
    assert_int_equal(got->body_case, DISKALLOC__V1__REQUEST__BODY_CREATE_REGION);
    assert_int_equal(message_decode(&arena, (const uint8_t *)"\xff", 1, &got), -EBADMSG);
    assert_int_equal(message_decode(&small, bytes, n, &got), -EBADMSG);
    arena_deinit(&small);
    arena_deinit(&arena);
}

static void a_reply_is_packed_only_where_it_fits(void **state)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    uint8_t bytes[64];
    size_t n;

    (void)state;
    reply.id = 4711;
    n = diskalloc__v1__reply__get_packed_size(&reply);
    assert_true(n > 0);
    assert_int_equal(message_encode(&reply, bytes, n), n);
    assert_int_equal(message_encode(&reply, bytes, n - 1), 0);
}

static void fields_of_other_lengths_and_texts_with_nul_are_refused(void **state)
{
    uint8_t bytes[32] = "abc";
    ProtobufCBinaryData field = {.data = bytes};
    struct handle h;
    char text[4];

    (void)state;
    for (field.len = 0; field.len < sizeof bytes; field.len++)
        assert_int_equal(message_take_handle(&field, &h), field.len == sizeof h.bytes ? 0 : -EINVAL);
    field.len = 3;
    assert_int_equal(message_take_text(&field, text, sizeof text), 0);
    assert_string_equal(text, "abc");
    field.len = 4; // with the NUL, and too long
    assert_int_equal(message_take_text(&field, text, sizeof text), -EINVAL);
    field = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"a\0b"};
    assert_int_equal(message_take_text(&field, text, sizeof text), -EINVAL);
    field = (ProtobufCBinaryData){.len = 0, .data = NULL};
    assert_int_equal(message_take_text(&field, text, sizeof text), 0);
    assert_string_equal(text, "");
}

static void an_error_has_the_numbers_of_the_limit_that_has_a_name(void **state)
{
    struct quota_refusal refusal = {.limit = 10, .used = 7, .asked = 4};
    Diskalloc__V1__Error error;

    (void)state;
    message_error(-ENOSPC, NULL, &error);
    assert_int_equal(error.code, protocol_error_of(-ENOSPC)->code);
    assert_string_equal(error.limit_name, "");
    message_error(-EDQUOT, &refusal, &error); // refused by something else than a quota
    assert_string_equal(error.limit_name, "");
    assert_int_equal(error.limit, 0);
    strcpy(refusal.limit_name, "total bytes");
    message_error(-EDQUOT, &refusal, &error);
    assert_string_equal(error.limit_name, "total bytes");
    assert_true(error.limit == 10 && error.used == 7 && error.asked == 4);
}

static void ranges_come_a_thousand_at_a_time_with_the_offset_of_the_next(void **state)
{
    Diskalloc__V1__RangeList list;
    struct ranges ranges = {0};
    struct arena arena;

    (void)state;
    assert_int_equal(arena_init(&arena, 1 << 20), 0);
    for (uint64_t i = 0; i < 1100; i++)
        assert_int_equal(ranges_add(&ranges, i * 8192, 4096), 0);
    message_ranges(&ranges, 0, &arena, &list);
    assert_int_equal(list.n_ranges, 1024);
    assert_int_equal(list.ranges[1023]->offset, 1023 * 8192);
    assert_int_equal(list.ranges[1023]->length, 4096);
    assert_int_equal(list.next, 1024 * 8192);
    arena_reset(&arena);
    message_ranges(&ranges, list.next, &arena, &list);
    assert_int_equal(list.n_ranges, 1100 - 1024);
    assert_int_equal(list.ranges[0]->offset, 1024 * 8192);
    assert_int_equal(list.next, 0);
    arena_deinit(&arena);
    ranges_deinit(&ranges);
}

// Room for neither array; and for the array of pointers, not for what they point to.
static const size_t too_small[] = {8, 1400};

static void ranges_without_memory_are_an_empty_list(void **state)
{
    Diskalloc__V1__RangeList list;
    struct ranges ranges = {0};

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(ranges_add(&ranges, i * 8192, 4096), 0);
    for (size_t i = 0; i < sizeof too_small / sizeof *too_small; i++) {
        struct arena arena;

        assert_int_equal(arena_init(&arena, too_small[i]), 0);
        message_ranges(&ranges, 0, &arena, &list);
        assert_int_equal(list.n_ranges, 0);
        assert_int_equal(list.next, 0);
        arena_deinit(&arena);
    }
    ranges_deinit(&ranges);
}

// A region of the fixture's peer with N_PEERS further ones attached.
struct crowd {
    struct fixture f;
    struct region *region;
    struct peer peers[N_PEERS];
};

static void crowd_init(struct crowd *c)
{
    fixture_init(&c->f);
    assert_int_equal(create(&c->f, "shared", 8192, &c->region), 0);
    for (size_t i = 0; i < N_PEERS; i++) {
        peer_init(&c->peers[i], user_ref(c->f.users, OWNER), 1);
        peer_note_start(&c->peers[i]);
        snprintf(c->peers[i].client_name, sizeof c->peers[i].client_name, "client %zu", i);
    }
}

static void crowd_attach(struct crowd *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        assert_int_equal(peer_attach(&c->peers[i], c->region, true, HOLDER_IS_NEW), 0);
}

static void crowd_deinit(struct crowd *c)
{
    for (size_t i = 0; i < N_PEERS; i++) {
        struct attachment *a = holders_find(&c->region->holders, &c->peers[i]);

        if (a)
            peer_detach(&c->peers[i], a);
        peer_deinit(&c->peers[i], c->f.env.orphans);
    }
    fixture_deinit(&c->f);
}

static void sixteen_holders_of_a_region_are_named_and_no_more(void **state)
{
    struct crowd c;
    struct arena arena;
    Diskalloc__V1__Region message;

    (void)state;
    crowd_init(&c);
    crowd_attach(&c, 0, 2);
    assert_int_equal(arena_init(&arena, 4096), 0);
    message_region(c.region, NULL, &message);
    message_holders(c.region, &arena, &message);
    assert_int_equal(message.n_holders, 3);
    assert_int_equal(message.holders[2]->uid, OWNER);
    assert_memory_equal(message.holders[2]->client_name.data, "client 1", 8);
    crowd_attach(&c, 2, N_PEERS);
    arena_reset(&arena);
    message_holders(c.region, &arena, &message);
    assert_int_equal(message.n_holders, 16);
    assert_int_equal(message.attachments, 3); // message_region says how many there are
    arena_deinit(&arena);
    crowd_deinit(&c);
}

static void holders_without_memory_are_left_out(void **state)
{
    static const size_t rooms[] = {8, 200};
    struct crowd c;

    (void)state;
    crowd_init(&c);
    crowd_attach(&c, 0, N_PEERS);
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        struct arena arena;
        Diskalloc__V1__Region message;

        assert_int_equal(arena_init(&arena, rooms[i]), 0);
        message_region(c.region, NULL, &message);
        message_holders(c.region, &arena, &message);
        assert_int_equal(message.n_holders, 0);
        assert_int_equal(message.attachments, N_PEERS + 1);
        arena_deinit(&arena);
    }
    crowd_deinit(&c);
}

static void a_region_is_shown_with_the_access_of_the_one_who_asks(void **state)
{
    enum { READ_ONLY = DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY };
    enum { SOLE_WRITER = DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER };
    enum { SPARSE = DISKALLOC__V1__REGION_FLAG__REGION_SPARSE };
    struct crowd c;
    struct holders *h;
    Diskalloc__V1__Region message;

    (void)state;
    crowd_init(&c);
    h = &c.region->holders;
    crowd_attach(&c, 0, 1);
    message_region(c.region, NULL, &message);
    assert_int_equal(message.flags, 0);
    assert_int_equal(message.size, 8192);
    assert_memory_equal(message.name.data, "shared", 6);
    message_region(c.region, &c.peers[1], &message); // has not attached it
    assert_int_equal(message.flags, 0);
    message_region(c.region, &c.f.peer, &message);
    assert_int_equal(message.flags, 0);
    message_region(c.region, &c.peers[0], &message);
    assert_int_equal(message.flags, READ_ONLY);
    holders_change(h, holders_find(h, &c.peers[0]), true, false);
    holders_change(h, holders_find(h, &c.f.peer), false, true);
    c.region->record.flags |= RECORD_SPARSE;
    message_region(c.region, &c.f.peer, &message);
    assert_int_equal(message.flags, SOLE_WRITER | SPARSE);
    c.region->record.flags &= ~(unsigned)RECORD_SPARSE;
    crowd_deinit(&c);
}

static void a_region_is_an_orphan_when_nobody_has_it_and_nothing_keeps_it(void **state)
{
    struct crowd c;
    Diskalloc__V1__Region message;

    (void)state;
    crowd_init(&c);
    message_region(c.region, NULL, &message);
    assert_false(message.orphaned);
    peer_detach(&c.f.peer, holders_find(&c.region->holders, &c.f.peer));
    message_region(c.region, NULL, &message);
    assert_false(message.orphaned); // its name keeps it
    region_drop_name(&c.f.regions, c.region);
    message_region(c.region, NULL, &message);
    assert_true(message.orphaned);
    assert_false(message.mapped); // nobody has looked yet
    c.region->n_probes = 1;
    message_region(c.region, NULL, &message);
    assert_true(message.orphaned && message.mapped);
    crowd_attach(&c, 0, 1);
    message_region(c.region, NULL, &message);
    assert_false(message.orphaned);
    assert_false(message.mapped);
    crowd_deinit(&c);
}

static void a_region_is_shown_with_its_end_if_it_has_one_and_with_its_disk_if_that_was_chosen(void **state)
{
    struct crowd c;
    Diskalloc__V1__Region message;
    struct disk *disk;

    (void)state;
    crowd_init(&c);
    disk = c.region->disk;
    c.region->record.expires = 4711; // of no meaning without the flag
    message_region(c.region, NULL, &message);
    assert_int_equal(message.expires, 0);
    assert_int_equal(message.disk.len, strlen(store_dir(disk->store)));
    assert_memory_equal(message.disk.data, store_dir(disk->store), message.disk.len);
    c.region->record.flags |= RECORD_EXPIRES;
    c.region->disk = NULL; // as a region that is being made
    message_region(c.region, NULL, &message);
    assert_int_equal(message.expires, 4711);
    assert_int_equal(message.disk.len, 0);
    c.region->record.flags &= ~(unsigned)RECORD_EXPIRES;
    c.region->disk = disk;
    crowd_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_that_are_no_request_or_do_not_fit_the_memory_are_refused),
        TEST(a_reply_is_packed_only_where_it_fits),
        TEST(fields_of_other_lengths_and_texts_with_nul_are_refused),
        TEST(an_error_has_the_numbers_of_the_limit_that_has_a_name),
        TEST(ranges_come_a_thousand_at_a_time_with_the_offset_of_the_next),
        TEST(ranges_without_memory_are_an_empty_list),
        TEST(sixteen_holders_of_a_region_are_named_and_no_more),
        TEST(holders_without_memory_are_left_out),
        TEST(a_region_is_shown_with_the_access_of_the_one_who_asks),
        TEST(a_region_is_an_orphan_when_nobody_has_it_and_nothing_keeps_it),
        TEST(a_region_is_shown_with_its_end_if_it_has_one_and_with_its_disk_if_that_was_chosen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
