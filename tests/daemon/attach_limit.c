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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(at_the_limit_of_attachments_no_region_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
