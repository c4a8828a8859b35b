// Answers that break the protocol, and one of an older daemon: the call says what is wrong with them, and no more.
#include "client/backend.h"
#include "tests/lib/fake_daemon.h"

typedef Diskalloc__V1__Reply Reply;
typedef Diskalloc__V1__Request Request;

// Answers requests of the kind ASKED as ANSWER says, and all others well.
struct liar {
    struct play play;
    Diskalloc__V1__Request__BodyCase asked;
    // Fills in the reply.  True: the region's file goes with it.
    bool (*answer)(Reply *reply);
};

static Diskalloc__V1__Region region;
static Diskalloc__V1__Usage usage;
static uint8_t bytes_of_names[256];

static void send_answer(const struct liar *l, int sock, const Request *q)
{
    static uint8_t bytes[PACKET_MAX];
    Reply reply = DISKALLOC__V1__REPLY__INIT;
    int fd;

    reply.id = q->id;
    diskalloc__v1__region__init(&region);
    diskalloc__v1__usage__init(&usage);
    region.handle = (ProtobufCBinaryData){.data = bytes_of_names, .len = sizeof l->play.handle.bytes};
    fd = l->answer(&reply) ? l->play.file : -1;
    reply.has_fd = fd >= 0;
    packet_send(sock, bytes, diskalloc__v1__reply__pack(&reply, bytes), fd, 0);
}

static void *lie(void *data)
{
    static uint8_t bytes[PACKET_MAX];
    struct liar *l = data;
    int sock = accept4(l->play.listener, NULL, NULL, SOCK_CLOEXEC), fd;
    ssize_t n;

    while ((n = packet_receive(sock, bytes, sizeof bytes, 0, &fd)) > 0) {
        Request *q = diskalloc__v1__request__unpack(NULL, (size_t)n, bytes);

        if (q && q->body_case == l->asked)
            send_answer(l, sock, q);
        else if (q)
            play_answer(&l->play, sock, q, DISKALLOC__V1__ERROR_CODE__OK);
        diskalloc__v1__request__free_unpacked(q, NULL);
    }
    close(sock);
    return NULL;
}

// The question, and whether it fails.
typedef int (*call)(struct diskalloc *da);

static void expect(Diskalloc__V1__Request__BodyCase asked, bool (*answer)(Reply *reply), call ask, int code,
                   const char *why)
{
    struct liar l = {.asked = asked, .answer = answer};
    struct diskalloc *da;
    int e;

    play_listen(&l.play);
    if (asked == DISKALLOC__V1__REQUEST__BODY_LIST_DISCARDED) // else nobody asks
        assert_int_equal(ranges_add(&l.play.discarded, 0, 4096), 0);
    assert_int_equal(pthread_create(&l.play.thread, NULL, lie, &l), 0);
    da = client_of(&l.play, 0);
    e = ask(da);
    if (e != code || !strstr(diskalloc_last_error(), why))
        fail_msg("%d, \"%s\" in place of %d, \"%s\"", e, diskalloc_last_error(), code, why);
    diskalloc_close(da);
    play_end(&l.play);
}

static bool with_a_usage(Reply *reply)
{
    reply->body_case = DISKALLOC__V1__REPLY__BODY_USAGE;
    reply->usage = &usage;
    return false;
}

static bool with_a_region(Reply *reply)
{
    reply->body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply->region = &region;
    return false;
}

// ---- Regions ----

static bool with_a_short_handle(Reply *reply)
{
    with_a_region(reply);
    region.handle.len = 3;
    return true;
}

static int create(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;
    int e = diskalloc_region_create(da, NULL, &r);

    assert_true(e < 0 ? !r : r != NULL);
    diskalloc_region_close(r);
    return e;
}

static void a_region_needs_a_handle_and_a_descriptor(void **state)
{
    const Diskalloc__V1__Request__BodyCase asked = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;

    (void)state;
    expect(asked, with_a_short_handle, create, -EPROTO, "the daemon's reply has no handle");
    expect(asked, with_a_region, create, -EPROTO, "the daemon's reply has no region, or no descriptor");
    expect(asked, with_a_usage, create, -EPROTO, "the daemon's reply has no region, or no descriptor");
}

// ---- Usage ----

static int ask_for_usage(struct diskalloc *da)
{
    struct diskalloc_usage u = {.bytes = 4711};
    int e = diskalloc_get_usage(da, NULL, &u, sizeof u);

    assert_true(e == 0 || u.bytes == 4711);
    return e;
}

static void usage_is_no_region(void **state)
{
    (void)state;
    expect(DISKALLOC__V1__REQUEST__BODY_GET_USAGE, with_a_region, ask_for_usage, -EPROTO,
           "the daemon's reply has no usage");
}

// ---- Lists ----

static Diskalloc__V1__RegionList list;

static bool with_regions(Reply *reply, size_t n)
{
    static Diskalloc__V1__Region *regions[REGION_PAGE + 1];

    diskalloc__v1__region_list__init(&list);
    for (size_t i = 0; i < n; i++)
        regions[i] = &region;
    list.regions = regions;
    list.n_regions = n;
    reply->body_case = DISKALLOC__V1__REPLY__BODY_REGION_LIST;
    reply->region_list = &list;
    return false;
}

static bool with_a_list_of_too_many(Reply *reply)
{
    return with_regions(reply, REGION_PAGE + 1);
}

static bool with_a_list_without_handles(Reply *reply)
{
    region.handle.len = 3;
    return with_regions(reply, 1);
}

static bool with_a_list_with_a_long_name(Reply *reply)
{
    region.name = (ProtobufCBinaryData){.data = bytes_of_names, .len = sizeof bytes_of_names};
    return with_regions(reply, 1);
}

static bool with_a_list_that_goes_on_nowhere(Reply *reply)
{
    with_regions(reply, 1);
    list.next_cursor = (ProtobufCBinaryData){.data = bytes_of_names, .len = 3};
    return false;
}

static int ask_for_regions(struct diskalloc *da)
{
    struct diskalloc_region_info info;
    uint64_t cursor = 0;

    return diskalloc_next_region(da, &cursor, &info, sizeof info);
}

static void a_list_has_handles_and_names_that_fit(void **state)
{
    const Diskalloc__V1__Request__BodyCase asked = DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS;

    (void)state;
    expect(asked, with_a_usage, ask_for_regions, -EPROTO, "the daemon's reply has no list of regions");
    expect(asked, with_a_list_of_too_many, ask_for_regions, -EPROTO, "the daemon's page has 65 regions");
    expect(asked, with_a_list_without_handles, ask_for_regions, -EPROTO, "something else than a handle");
    expect(asked, with_a_list_with_a_long_name, ask_for_regions, -EPROTO, "the daemon's list has a name of 256 bytes");
    expect(asked, with_a_list_that_goes_on_nowhere, ask_for_regions, -EPROTO, "something else than a handle");
}

// ---- Discarded parts ----

static bool with_ranges_without_an_end(Reply *reply)
{
    static Diskalloc__V1__RangeList ranges;

    diskalloc__v1__range_list__init(&ranges);
    ranges.next = 4096; // always
    reply->body_case = DISKALLOC__V1__REPLY__BODY_RANGE_LIST;
    reply->range_list = &ranges;
    return false;
}

static void the_list_of_discarded_parts_ends(void **state)
{
    const Diskalloc__V1__Request__BodyCase asked = DISKALLOC__V1__REQUEST__BODY_LIST_DISCARDED;

    (void)state;
    expect(asked, with_a_usage, create, -EPROTO, "the daemon's reply has no ranges");
    expect(asked, with_ranges_without_an_end, create, -EPROTO, "the daemon's list of ranges does not end");
}

// ---- Copies ----

static bool with_a_refusal_as_unknown(Reply *reply)
{
    static Diskalloc__V1__Error error;

    diskalloc__v1__error__init(&error);
    error.code = DISKALLOC__V1__ERROR_CODE__UNSUPPORTED;
    reply->error = &error;
    return false;
}

static int copy(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL, *made = NULL;
    int e;

    assert_int_equal(diskalloc_region_create(da, NULL, &r), 0);
    e = diskalloc_region_clone(r, NULL, NULL, &made);
    assert_true(e == 0 || !made);
    diskalloc_region_close(made);
    diskalloc_region_close(r);
    return e;
}

static void a_daemon_that_does_not_know_copies_is_too_old(void **state)
{
    (void)state;
    expect(DISKALLOC__V1__REQUEST__BODY_CLONE_REGION, with_a_refusal_as_unknown, copy, -EOPNOTSUPP,
           "this daemon is too old to copy regions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_needs_a_handle_and_a_descriptor),      TEST(usage_is_no_region),
        TEST(a_list_has_handles_and_names_that_fit),         TEST(the_list_of_discarded_parts_ends),
        TEST(a_daemon_that_does_not_know_copies_is_too_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
