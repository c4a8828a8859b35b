// The replies of the daemon: a client notes what it may touch from then on, and writes to it.
#include "proto/util/container.h"
#include "tests/lib/harness.h"
#include "tests/op/actors.h"
#include "tests/op/promises.h"

static const char *const step_names[] = {
    [STEP_CREATE] = "create",       [STEP_OPEN] = "open",     [STEP_ATTACH] = "attach",   [STEP_GROW] = "grow",
    [STEP_EARLY] = "early",         [STEP_SHRINK] = "shrink", [STEP_DISCARD] = "discard", [STEP_RESTORE] = "restore",
    [STEP_GROW_WAIT] = "grow_wait", [STEP_DETACH] = "detach", [STEP_MOVE] = "move",       [STEP_UNLINK] = "unlink",
    [STEP_CLONE] = "clone",         [STEP_CANCEL] = "cancel", [STEP_LOSE] = "lose",       [STEP_DIE] = "die",
};

const char *actor_step_name(enum step_kind kind)
{
    return step_names[kind];
}

static void refresh(struct actor *a, unsigned region)
{
    struct mapping *m = &a->maps[region];
    const struct region *r = actor_region(region);

    m->discarded = 0;
    for (unsigned u = 0; r && u < ACTOR_MOST_UNITS; u++)
        if (ranges_overlap(&r->discarded, u * ACTOR_UNIT, 1) > 0)
            m->discarded |= 1U << u;
    for (unsigned u = 0; u < m->length; u++) {
        uint8_t byte = promises_byte(region, u);

        if (!(m->discarded >> u & 1))
            assert_int_equal(pwrite(m->fd, &byte, 1, u * ACTOR_UNIT), 1);
    }
}

// The copy has what the process had stored in the region before it asked.
static void check_copy(const struct actor *a, const struct flight *f)
{
    const struct mapping *m = &a->maps[f->step.region], *source = &a->maps[f->step.offset];

    for (unsigned u = 0; source->fd >= 0 && u < source->length && u < m->length; u++) {
        uint8_t byte = 0;

        promise(pread(m->fd, &byte, 1, u * ACTOR_UNIT) == 1 && byte == promises_byte(f->step.offset, u),
                "%s: unit %u of a copy is not the region's", a->name, u);
    }
}

static void take_region(struct actor *a, const struct flight *f, uint64_t size, int fd)
{
    struct mapping *m = &a->maps[f->step.region];
    unsigned units = (unsigned)(size / ACTOR_UNIT);

    if (fd >= 0 && m->fd >= 0)
        close(fd); // it is mapped already
    else if (fd >= 0)
        *m = (struct mapping){.fd = fd, .length = units};
    if (m->fd < 0)
        return;
    if (fd >= 0)
        m->attached = true;
    m->told = size;
    if (f->step.kind == STEP_CLONE && fd >= 0)
        check_copy(a, f);
    promise(size >= (uint64_t)m->length * ACTOR_UNIT, "%s: a region that is mapped has become smaller", a->name);
    if (f->step.kind == STEP_GROW || f->step.kind == STEP_GROW_WAIT || f->step.kind == STEP_EARLY) {
        promise(units >= f->step.size, "%s: a grow was granted and its bytes were not", a->name);
        m->length = units;
    }
    if (f->step.kind == STEP_SHRINK)
        promise(units == f->step.size, "%s: a shrink was done and the size is another", a->name);
    refresh(a, f->step.region);
}

static void take_failure(struct actor *a, const struct flight *f, const Diskalloc__V1__Error *e)
{
    struct mapping *m = &a->maps[f->step.region];

    promise(!f->returns || e->code != DISKALLOC__V1__ERROR_CODE__NOT_FOUND,
            "%s: the region of a living process is gone", a->name);
    if (f->step.kind == STEP_DETACH || m->fd < 0)
        return;
    // A failed call changes nothing: the part is the process's again.
    if (f->step.kind == STEP_SHRINK && actor_region(f->step.region))
        m->length = (unsigned)(actor_region(f->step.region)->size / ACTOR_UNIT) < f->length_before ? m->length
                                                                                                   : f->length_before;
    if (e->size)
        m->told = e->size;
    refresh(a, f->step.region);
}

void actor_take_reply(struct peer *peer, const Diskalloc__V1__Reply *reply, int fd)
{
    struct connection *c = container_of(peer, struct connection, peer);
    struct flight *f, done;

    if (!c->actor) { // nobody reads it
        if (fd >= 0)
            close(fd);
        return;
    }
    f = actor_find_flight(c->actor, reply->id);
    promise(f, "%s: a second reply to a request", c->actor->name);
    done = *f;
    f->id = 0;
    trace("    %s: reply to %s %u: %s", c->actor->name, actor_step_name(done.step.kind), done.step.region,
          reply->error ? reply->error->message : "done");
    if (reply->error)
        take_failure(c->actor, &done, reply->error);
    else if (reply->body_case == DISKALLOC__V1__REPLY__BODY_REGION)
        take_region(c->actor, &done, reply->region->size, fd);
}
