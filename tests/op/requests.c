// The requests that the steps of a script stand for.
#include <string.h>

#include "daemon/request/dispatch.h"
#include "tests/op/actors.h"

#define V1(name) DISKALLOC__V1__##name

static void send_resize(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, ProtobufCBinaryData handle)
{
    Diskalloc__V1__GrowRegion grow = V1(GROW_REGION__INIT);
    Diskalloc__V1__ShrinkRegion shrink = V1(SHRINK_REGION__INIT);

    grow.handle = shrink.handle = handle;
    grow.size = shrink.size = (uint64_t)s->size * ACTOR_UNIT;
    grow.early = s->kind == STEP_EARLY;
    grow.wait_ms = s->kind == STEP_GROW_WAIT ? s->wait_ms : 0;
    shrink.known_size = a->maps[s->region].told;
    if (s->kind == STEP_SHRINK) {
        q->body_case = V1(REQUEST__BODY_SHRINK_REGION);
        q->shrink_region = &shrink;
    } else {
        q->body_case = V1(REQUEST__BODY_GROW_REGION);
        q->grow_region = &grow;
    }
    request_serve(&machine.d.request, &a->connection->peer, q);
}

static void send_range(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, ProtobufCBinaryData handle)
{
    Diskalloc__V1__DiscardRegion discard = V1(DISCARD_REGION__INIT);
    Diskalloc__V1__RestoreRegion restore = V1(RESTORE_REGION__INIT);

    discard.handle = restore.handle = handle;
    discard.offset = restore.offset = (uint64_t)s->offset * ACTOR_UNIT;
    discard.length = restore.length = (uint64_t)s->size * ACTOR_UNIT;
    if (s->kind == STEP_DISCARD) {
        q->body_case = V1(REQUEST__BODY_DISCARD_REGION);
        q->discard_region = &discard;
    } else {
        q->body_case = V1(REQUEST__BODY_RESTORE_REGION);
        q->restore_region = &restore;
    }
    request_serve(&machine.d.request, &a->connection->peer, q);
}

static void send_attachment(struct actor *a, Diskalloc__V1__Request *q, const struct step *s,
                            ProtobufCBinaryData handle, bool held)
{
    Diskalloc__V1__CreateRegion create = V1(CREATE_REGION__INIT);
    Diskalloc__V1__AttachRegion attach = V1(ATTACH_REGION__INIT);
    Diskalloc__V1__DetachRegion detach = V1(DETACH_REGION__INIT);

    create.handle = attach.handle = detach.handle = handle;
    create.size = (uint64_t)s->size * ACTOR_UNIT;
    attach.held = held;
    attach.repeated = !held && a->again.kind == STEP_ATTACH;
    if (s->kind == STEP_CREATE) {
        q->body_case = V1(REQUEST__BODY_CREATE_REGION);
        q->create_region = &create;
    } else if (s->kind == STEP_ATTACH) {
        q->body_case = V1(REQUEST__BODY_ATTACH_REGION);
        q->attach_region = &attach;
    } else {
        q->body_case = V1(REQUEST__BODY_DETACH_REGION);
        q->detach_region = &detach;
    }
    request_serve(&machine.d.request, &a->connection->peer, q);
}

static void send_open(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, ProtobufCBinaryData handle,
                      ProtobufCBinaryData name)
{
    Diskalloc__V1__OpenRegion open = V1(OPEN_REGION__INIT);

    open.name = name;
    open.handle = handle;
    open.size = (uint64_t)s->size * ACTOR_UNIT;
    open.flags = V1(REGION_FLAG__REGION_CREATE);
    open.mode = 0600;
    open.repeated = a->again.kind == STEP_OPEN;
    q->body_case = V1(REQUEST__BODY_OPEN_REGION);
    q->open_region = &open;
    request_serve(&machine.d.request, &a->connection->peer, q);
}

static void send_clone(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, ProtobufCBinaryData handle)
{
    Diskalloc__V1__CloneRegion clone = V1(CLONE_REGION__INIT);
    struct handle source = actor_handle(s->offset);

    clone.source = (ProtobufCBinaryData){.len = sizeof source.bytes, .data = source.bytes};
    clone.handle = handle;
    q->body_case = V1(REQUEST__BODY_CLONE_REGION);
    q->clone_region = &clone;
    request_serve(&machine.d.request, &a->connection->peer, q);
}

// Requests about a region that nobody need have attached.
static void send_named(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, ProtobufCBinaryData name)
{
    const char *dir = store_dir(machine_disk(s->size)->store);
    Diskalloc__V1__MoveRegion move = V1(MOVE_REGION__INIT);
    Diskalloc__V1__UnlinkRegion unlink = V1(UNLINK_REGION__INIT);

    move.name = unlink.name = name;
    move.disk = (ProtobufCBinaryData){.len = strlen(dir), .data = (uint8_t *)dir};
    if (s->kind == STEP_MOVE) {
        q->body_case = V1(REQUEST__BODY_MOVE_REGION);
        q->move_region = &move;
    } else {
        q->body_case = V1(REQUEST__BODY_UNLINK_REGION);
        q->unlink_region = &unlink;
    }
    request_serve(&machine.d.request, &a->connection->peer, q);
}

void actor_send(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, bool returns)
{
    struct handle h = actor_handle(s->region);
    uint8_t letter = (uint8_t)('a' + s->region);
    ProtobufCBinaryData handle = {.len = sizeof h.bytes, .data = h.bytes}, name = {.len = 1, .data = &letter};

    if (s->kind == STEP_OPEN)
        send_open(a, q, s, handle, name);
    else if (s->kind == STEP_MOVE || s->kind == STEP_UNLINK)
        send_named(a, q, s, name);
    else if (s->kind == STEP_CLONE)
        send_clone(a, q, s, handle);
    else if (s->kind == STEP_DISCARD || s->kind == STEP_RESTORE)
        send_range(a, q, s, handle);
    else if (s->kind == STEP_CREATE || s->kind == STEP_ATTACH || s->kind == STEP_DETACH)
        send_attachment(a, q, s, handle, returns);
    else
        send_resize(a, q, s, handle);
}
