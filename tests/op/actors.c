// A client sends its requests to request_serve and gets the replies at once; what takes time is the daemon's work.  A
// process really exists for each client, since the daemon asks /proc, and a mapping is an open descriptor with the mark
// that the daemon has put on it, since the daemon asks the kernel.
//
// A client does what the library does.  It takes the access away from what it lets go of before it asks; it connects
// again when its connection has ended, attaches what it maps (AttachRegion.held), and repeats the request that was
// lost.  It writes to each unit that it is granted, so that a byte that was cut shows.
#include "tests/op/actors.h"

#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "daemon/op/wait.h"
#include "daemon/proc.h"
#include "daemon/request/dispatch.h"
#include "tests/lib/harness.h"

struct actor actors[ACTORS];
struct connection connections[ACTOR_CONNECTIONS];
unsigned n_connections;

struct handle actor_handle(unsigned region)
{
    struct handle h = {.bytes = {[0] = (uint8_t)(region + 1), [15] = 7}};

    return h;
}

struct region *actor_region(unsigned region)
{
    struct handle h = actor_handle(region);

    return region_find(&machine.d.regions, &h);
}

static void make_process(struct actor *a)
{
    a->pid = fork();
    assert_true(a->pid >= 0);
    if (a->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
}

static void end_process(struct actor *a)
{
    if (a->pid <= 0) // it has ended: kill(0) would end this process and whoever has started it
        return;
    kill(a->pid, SIGKILL);
    waitpid(a->pid, NULL, 0);
    a->pid = 0;
}

void actors_open(void)
{
    memset(actors, 0, sizeof actors);
    for (int i = 0; i < ACTORS; i++)
        make_process(&actors[i]);
}

void actors_close(void)
{
    for (int i = 0; i < ACTORS; i++)
        end_process(&actors[i]);
}

void actors_start(const struct step *const scripts[ACTORS], bool two_users, bool in_containers)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &actors[i];
        pid_t pid = a->pid;

        *a = (struct actor){.name = i ? "B" : "A", .user = two_users ? i : 0, .pid = pid, .alive = true};
        a->in_container = in_containers;
        a->script = scripts[i];
        for (int r = 0; r < ACTOR_REGIONS; r++)
            a->maps[r].fd = -1;
        if (!a->pid)
            make_process(a);
    }
    n_connections = 0;
}

// ---- The mapping ----

static void unmap(struct mapping *m)
{
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct mapping){.fd = -1};
}

void actor_unmap(struct actor *a)
{
    for (int r = 0; r < ACTOR_REGIONS; r++)
        unmap(&a->maps[r]);
}

struct flight *actor_find_flight(struct actor *a, uint64_t id)
{
    for (int i = 0; i < ACTOR_MOST_FLIGHTS; i++)
        if (a->flights[i].id == id)
            return &a->flights[i];
    return NULL;
}

// ---- Requests ----

static void nothing(struct peer *peer)
{
    (void)peer;
}

static void connect_again(struct actor *a)
{
    struct connection *c = &connections[n_connections++];
    struct user *user = machine.user[a->user];

    assert_true(n_connections <= ACTOR_CONNECTIONS);
    user->n_refs++;
    peer_init(&c->peer, user, a->pid);
    peer_note_start(&c->peer);
    c->peer.holder.pid_is_ours &= !a->in_container;
    peer_let_in(&c->peer);
    c->peer.features = DISKALLOC__V1__FEATURE__FEATURE_HELD | DISKALLOC__V1__FEATURE__FEATURE_EARLY_GROWTH;
    c->peer.reply = actor_take_reply;
    c->peer.resume = c->peer.hang_up = nothing;
    c->actor = a;
    c->is_seen_ended = false;
    a->connection = c;
}

// The process gives up what it asks to have taken away.
static void let_go(struct actor *a, struct flight *f)
{
    struct mapping *m = &a->maps[f->step.region];

    f->length_before = m->length;
    if (f->step.kind == STEP_SHRINK && f->step.size < m->length)
        m->length = f->step.size;
    if (f->step.kind == STEP_DISCARD)
        m->discarded |= ((1U << f->step.size) - 1) << f->step.offset;
    if (f->step.kind == STEP_DETACH)
        unmap(m);
}

static void ask(struct actor *a, const struct step *s, bool returns)
{
    Diskalloc__V1__Request q = DISKALLOC__V1__REQUEST__INIT;
    struct flight *f = actor_find_flight(a, 0);

    assert_non_null(f);
    q.id = ++a->last_id;
    *f = (struct flight){.id = q.id, .step = *s, .is_scripted = !returns, .returns = returns};
    let_go(a, f);
    actor_send(a, &q, s, returns);
    a->again.kind = STEP_NONE;
}

static struct flight *scripted_flight(const struct actor *a)
{
    for (int i = 0; i < ACTOR_MOST_FLIGHTS; i++)
        if (a->flights[i].id && a->flights[i].is_scripted)
            return (struct flight *)&a->flights[i];
    return NULL;
}

static void cancel(struct actor *a)
{
    const struct flight *target = scripted_flight(a);
    Diskalloc__V1__Cancel body = DISKALLOC__V1__CANCEL__INIT;
    Diskalloc__V1__Request q = DISKALLOC__V1__REQUEST__INIT;
    struct flight *f = actor_find_flight(a, 0);

    if (!target)
        return;
    q.id = ++a->last_id;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_CANCEL;
    q.cancel = &body;
    body.target = target->id;
    *f = (struct flight){.id = q.id, .step = {.kind = STEP_CANCEL}};
    request_serve(&machine.d.request, &a->connection->peer, &q);
}

void actor_lose(struct actor *a)
{
    const struct flight *f = scripted_flight(a);

    if (!a->connection)
        return;
    if (f)
        a->again = f->step;
    memset(a->flights, 0, sizeof a->flights);
    for (int r = 0; r < ACTOR_REGIONS; r++)
        a->maps[r].attached = false;
    a->connection->actor = NULL;
    a->connection = NULL;
}

static void die(struct actor *a)
{
    actor_unmap(a);
    actor_lose(a);
    a->alive = false;
    end_process(a);
}

// ---- The script ----

// A region that is to be attached again, or ACTOR_REGIONS.
static unsigned unattached(const struct actor *a)
{
    unsigned r = 0;

    while (r < ACTOR_REGIONS && (a->maps[r].fd < 0 || a->maps[r].attached))
        r++;
    return r;
}

static bool any_flight(const struct actor *a, bool returns)
{
    for (int i = 0; i < ACTOR_MOST_FLIGHTS; i++)
        if (a->flights[i].id && a->flights[i].returns == returns)
            return true;
    return false;
}

static bool may_come_between(enum step_kind kind)
{
    return kind == STEP_CANCEL || kind == STEP_LOSE || kind == STEP_DIE;
}

bool actor_can_go_on(const struct actor *a)
{
    const struct step *next = &a->script[a->position];

    if (!a->alive)
        return false;
    if (!a->connection || (unattached(a) < ACTOR_REGIONS && !any_flight(a, true)))
        return true;
    if (a->again.kind)
        return !any_flight(a, true);
    return next->kind && (may_come_between(next->kind) || (!any_flight(a, true) && !scripted_flight(a)));
}

// A step on a region that the process does not have is left out.
static bool is_void(const struct actor *a, const struct step *s)
{
    bool has = a->maps[s->region].fd >= 0;

    if (s->kind == STEP_CREATE || s->kind == STEP_OPEN || s->kind == STEP_ATTACH)
        return has;
    if (s->kind == STEP_CLONE)
        return has || a->maps[s->offset].fd < 0;
    if (s->kind == STEP_MOVE || s->kind == STEP_UNLINK)
        return false;
    return !has && s->kind != STEP_DETACH;
}

const char *actor_go_on(struct actor *a)
{
    unsigned region = unattached(a);
    const struct step *next = &a->script[a->position], back = {.kind = STEP_ATTACH, .region = region}, again = a->again;

    if (!a->connection) {
        connect_again(a);
        return "connects";
    }
    if (region < ACTOR_REGIONS && !any_flight(a, true)) {
        ask(a, &back, true);
        return "attaches again";
    }
    if (again.kind) {
        if (is_void(a, &again))
            a->again.kind = STEP_NONE;
        else
            ask(a, &again, false);
        return "repeats";
    }
    a->position++;
    if (next->kind == STEP_CANCEL)
        cancel(a);
    else if (next->kind == STEP_LOSE)
        actor_lose(a);
    else if (next->kind == STEP_DIE)
        die(a);
    else if (!is_void(a, next))
        ask(a, next, false);
    return actor_step_name(next->kind);
}

// ---- Ends of connections ----

void connection_end(struct connection *c)
{
    c->is_seen_ended = true;
    request_forget_peer(&c->peer);
    peer_deinit(&c->peer, machine.d.request.op.orphans);
    request_abandon_some(&machine.d.request, UINT_MAX);
}

void connections_forget(void)
{
    for (unsigned i = 0; i < ACTORS; i++)
        actor_lose(&actors[i]);
    for (unsigned i = 0; i < n_connections; i++)
        if (!connections[i].is_seen_ended)
            connection_end(&connections[i]);
}
