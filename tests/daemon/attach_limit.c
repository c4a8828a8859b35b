// A connection, or a user, that has as many regions attached as it may: nothing is made that could not be attached.
#include "daemon/request/dispatch.h"
#include "daemon/request/handlers.h"

#include "daemon/user.h"
#include "tests/lib/op_fixture.h"

struct scene {
    struct fixture f;
    struct request_env env;
    Diskalloc__V1__Request message;
    Diskalloc__V1__OpenRegion open;
    Diskalloc__V1__CreateRegion create;
    uint8_t handle[16];
};

static void scene_init(struct scene *s)
{
    ProtobufCBinaryData handle = {.len = sizeof s->handle, .data = s->handle};
    static uint8_t name[] = "name";

    memset(s, 0, sizeof *s);
    fixture_init(&s->f);
    s->env.op = s->f.env;
    s->env.users = s->f.users;
    budget_init(&s->env.budget);
    rounds_init(&s->env.abandoned);
    diskalloc__v1__request__init(&s->message);
    diskalloc__v1__open_region__init(&s->open);
    diskalloc__v1__create_region__init(&s->create);
    memset(s->handle, 0xa5, sizeof s->handle);
    s->open.handle = s->create.handle = handle;
    s->open.name = (ProtobufCBinaryData){.len = 4, .data = name};
    s->open.flags = DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    s->open.mode = 0600;
    s->open.size = s->create.size = 4096;
}

static void expect_refused(struct scene *s)
{
    const struct call c = {.env = &s->env, .peer = &s->f.peer, .id = 1, .message = &s->message};

    s->message.body_case = DISKALLOC__V1__REQUEST__BODY_OPEN_REGION;
    s->message.open_region = &s->open;
    assert_int_equal(request_open_region(&c), -EUSERS);
    s->message.body_case = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;
    s->message.create_region = &s->create;
    assert_int_equal(request_create_region(&c), -EUSERS);
    assert_null(region_next(&s->f.regions, NULL));
    assert_int_equal(charged(&s->f), 0);
}

static void at_the_limit_of_attachments_no_region_is_made(void **state)
{
    struct scene *s = malloc(sizeof *s);

    (void)state;
    assert_non_null(s);
    scene_init(s);
    s->f.peer.n_attachments = PEER_MAX_ATTACHMENTS;
    expect_refused(s);
    s->f.peer.n_attachments = 0;
    s->f.owner->n_attachments = USER_MAX_ATTACHMENTS;
    expect_refused(s);
    s->f.owner->n_attachments = 0;
    fixture_deinit(&s->f);
    free(s);
}

static bool has_reply;
static Diskalloc__V1__ErrorCode code;

static void note_reply(struct peer *peer, const Diskalloc__V1__Reply *reply, int fd)
{
    (void)peer;
    if (fd >= 0)
        close(fd);
    code = reply->error ? reply->error->code : DISKALLOC__V1__ERROR_CODE__OK;
    has_reply = true;
}

// Two regions are asked for, one after the other, when there is a place for one.
static void a_region_that_is_being_made_has_its_place(void **state)
{
    struct scene *s = malloc(sizeof *s);
    const struct call c = {.env = &s->env, .peer = &s->f.peer, .id = 1, .message = &s->message};
    struct handle second;
    struct region *r;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    s->f.peer.reply = note_reply;
    s->f.peer.n_attachments = PEER_MAX_ATTACHMENTS - 1;
    s->message.body_case = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;
    s->message.create_region = &s->create;
    assert_int_equal(request_create_region(&c), 0);
    s->handle[0]++;
    assert_int_equal(request_create_region(&c), -EUSERS);
    s->f.peer.n_attachments = 0;
    s->f.owner->n_attachments = USER_MAX_ATTACHMENTS - 1;
    assert_int_equal(request_create_region(&c), -EUSERS);
    s->f.owner->n_attachments = 0;
    turn_until(&s->f, &has_reply);
    assert_int_equal(code, DISKALLOC__V1__ERROR_CODE__OK);
    assert_int_equal(s->f.peer.n_attachments, 1);
    assert_int_equal(s->f.peer.n_making, 0);
    assert_int_equal(s->f.owner->n_making, 0);

    // Of a peer that goes.
    memcpy(second.bytes, s->handle, sizeof second.bytes);
    assert_int_equal(request_create_region(&c), 0);
    assert_int_equal(s->f.owner->n_making, 1);
    request_forget_peer(&s->f.peer);
    assert_int_equal(s->f.owner->n_making, 0);
    while (request_abandon_some(&s->env, 1))
        continue;
    // The region may have been made, and be an orphan, before that was cancelled.
    while ((r = region_find(&s->f.regions, &second)) && !TAILQ_EMPTY(&r->ops))
        event_base_loop(s->f.base, EVLOOP_ONCE);
    fixture_deinit(&s->f);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(at_the_limit_of_attachments_no_region_is_made),
        TEST(a_region_that_is_being_made_has_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
