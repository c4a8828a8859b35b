// See promises.h.  ARCHITECTURE.md lists the six promises; promises.pml and moves.pml in daemon/model check the same of
// models.
#include "tests/op/promises.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/op/wait.h"
#include "daemon/op/waits.h"
#include "daemon/user.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"
#include "tests/op/actors.h"
#include "tests/op/explore.h"

static char steps[64 * 1024];
static size_t steps_length;

static void append(const char *format, va_list args)
{
    size_t room = sizeof steps - steps_length;
    int n = vsnprintf(steps + steps_length, room, format, args);

    if (n > 0 && (size_t)n + 1 < room)
        steps_length += (size_t)n;
    if (steps_length + 1 < sizeof steps)
        steps[steps_length++] = '\n';
    steps[steps_length] = '\0';
}

void trace_start(const char *title)
{
    steps_length = 0;
    trace("%s", title);
}

void trace(const char *format, ...)
{
    va_list args;

    if (steps_length + 200 > sizeof steps)
        return;
    va_start(args, format);
    append(format, args);
    va_end(args);
}

void promise_broken(const char *format, ...)
{
    char why[300];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    fprintf(stderr, "%s", steps);
    fail_msg("%s", why);
    abort();
}

uint8_t promises_byte(unsigned region, unsigned unit)
{
    return (uint8_t)(1 + region * 100 + unit);
}

// ---- After each step ----

static uint64_t round_up(uint64_t size)
{
    return (size + MACHINE_BLOCK - 1) / MACHINE_BLOCK * MACHINE_BLOCK;
}

// While a region moves, its copy is charged as well.
static uint64_t charge_of(const struct region *r)
{
    return r->charge.amount[QUOTA_BYTES] + (r->mover && r->mover->moves ? r->mover->copy.amount[QUOTA_BYTES] : 0);
}

// Promise 2.
static void check_charges(void)
{
    const struct quota_account *total = quota_total(machine.d.quota);
    uint64_t bytes = 0, regions = 0, of_user[MACHINE_USERS] = {0};

    for (struct region *r = region_next(&machine.d.regions, NULL); r;
         r = region_next(&machine.d.regions, &r->record.handle)) {
        bytes += charge_of(r);
        regions += r->charge.amount[QUOTA_REGIONS];
        for (int i = 0; i < MACHINE_USERS; i++)
            of_user[i] += r->owner == machine.user[i] ? charge_of(r) : 0;
    }
    promise(quota_account_used(total, QUOTA_BYTES) == bytes, "the total is not the sum of the charges");
    promise(quota_account_used(total, QUOTA_REGIONS) == regions, "the number of regions is not what is charged");
    promise(bytes <= machine.limit, "more is charged than the limit allows");
    for (int i = 0; i < MACHINE_USERS; i++)
        promise(quota_user_used(machine.user[i]->quota, QUOTA_BYTES) == of_user[i],
                "a user's sum is not the sum of that user's charges");
}

static bool is_used(const struct region *r)
{
    bool used = r->holders.n_attached > 0;

    for (int i = 0; i < ACTORS; i++)
        used = used || actors[i].maps[r->record.handle.bytes[0] - 1U].fd >= 0;
    return used;
}

// Of the two disks one has the region's file; the other one what a failure has left, at most.
static void check_disk(const struct region *r)
{
    struct store *other = machine_disk(r->disk->number == 0)->store;
    int fd = store_open_file(other, r->record.owner_uid, &r->record.handle, O_RDONLY);

    if (fd >= 0)
        close(fd);
    promise(fd < 0 || machine.may_leave_files, "a region is on both disks");
}

// A region with no operation at work: tables, record and file say the same.
static void check_at_rest(const struct region *r)
{
    struct record record;
    struct stat st;
    int fd;

    promise(r->charge.amount[QUOTA_REGIONS] == 1, "a region is charged more than once, or not at all");
    if (r->record.flags & RECORD_UNLINKED)
        return; // being removed
    promise(r->charge.amount[QUOTA_BYTES] == round_up(r->size) - r->discarded.sum,
            "a region of %llu bytes, %llu of them discarded, is charged %llu", (unsigned long long)r->size,
            (unsigned long long)r->discarded.sum, (unsigned long long)r->charge.amount[QUOTA_BYTES]);
    check_disk(r);
    fd = store_open_file(r->disk->store, r->record.owner_uid, &r->record.handle, O_RDONLY);
    promise(fd >= 0, "a region has no file");
    promise(record_load(&file_ops_system, fd, &record) == 0, "a region has no record");
    fstat(fd, &st);
    close(fd);
    promise(r->record.granted == r->size && record.granted == r->size && (uint64_t)st.st_size == r->size,
            "a region's table says %llu, its record %llu, its file %llu", (unsigned long long)r->size,
            (unsigned long long)record.granted, (unsigned long long)st.st_size);
    // A discard that failed may have written that there are holes: then the next daemon looks for them in vain.
    promise((record.flags & ~(uint32_t)RECORD_HAS_HOLES) == (r->record.flags & ~(uint32_t)RECORD_HAS_HOLES) &&
                (record.flags | r->record.flags) == record.flags,
            "the record's flags are %x, and the table's %x", record.flags, r->record.flags);
    // A killed daemon may have begun to remove it: then nobody gets blocks that are removed a moment later.
    promise(is_used(r) ? (uint64_t)st.st_blocks * 512 >= r->charge.amount[QUOTA_BYTES] : true,
            "granted bytes have no blocks");
}

// Promises 1 and 5.
static void check_mapping(const struct actor *a, unsigned region)
{
    const struct mapping *m = &a->maps[region];
    struct stat st;

    if (m->fd < 0)
        return;
    fstat(m->fd, &st);
    promise(st.st_nlink > 0, "%s: the file of region %u was removed", a->name, region);
    promise((uint64_t)st.st_size >= (uint64_t)m->length * ACTOR_UNIT, "%s: the file of region %u was cut", a->name,
            region);
    for (unsigned u = 0; u < m->length; u++) {
        uint8_t byte = 0;

        if (m->discarded >> u & 1)
            continue;
        promise(pread(m->fd, &byte, 1, u * ACTOR_UNIT) == 1 && byte == promises_byte(region, u),
                "%s: unit %u of region %u has lost its content", a->name, u, region);
    }
}

void promises_check(void)
{
    check_charges();
    for (unsigned i = 0; i < ACTOR_REGIONS; i++) {
        const struct region *r = actor_region(i);

        if (r && r->state == REGION_LIVE && TAILQ_EMPTY(&r->ops))
            check_at_rest(r);
        for (int a = 0; a < ACTORS; a++)
            check_mapping(&actors[a], i);
    }
}

// Promise 3.
void promises_deliver(unsigned i)
{
    const struct op *op = machine_op(i);
    unsigned number = op->region->record.handle.bytes[0] - 1U;
    const struct region *r = op->region, before = *r;
    bool failed = op->result < 0 && r->state == REGION_LIVE;

    machine_deliver(i);
    if (!failed)
        return;
    promise(actor_region(number) == r, "a failed operation has removed its region");
    promise(r->disk == before.disk && r->size == before.size && r->discarded.sum == before.discarded.sum &&
                r->record.used == before.record.used,
            "a failed operation has changed its region");
}

// ---- When all is quiet ----

// OP is the first one of its user.
static void check_waiter(const struct op *op)
{
    const struct region *r = op->region;

    if (op->refused_with != -EDQUOT || op->retry_at != UINT64_MAX)
        return;
    promise(op->extra > quota_user_left(r->owner->quota, QUOTA_BYTES), "an operation waits for what is there");
}

void promises_check_quiet(void)
{
    const struct op_env *env = &machine.d.request.op;
    const struct waits *of_user;

    TAILQ_FOREACH (of_user, &env->wait->turns, turn)
        check_waiter(TAILQ_FIRST(&of_user->ops));
    for (unsigned i = 0; i < ACTOR_REGIONS; i++) {
        const struct region *r = actor_region(i);

        if (!r)
            continue;
        promise(r->state == REGION_LIVE ? TAILQ_EMPTY(&r->ops) : TAILQ_FIRST(&r->ops)->is_waiting,
                "an operation of region %u is forgotten", i);
        promise(!region_is_transient(r) || region_is_busy(r) || r->holders.n_attached > 0 ||
                    (r->orphaned && machine.orphans_at != UINT64_MAX),
                "the orphan %u is forgotten", i);
        promise(!r->releasing || r->orphaned, "region %u counts as releasing", i);
    }
    for (int i = 0; i < ACTORS; i++) {
        unsigned n = 0;

        for (int f = 0; f < ACTOR_MOST_FLIGHTS; f++)
            n += actors[i].flights[f].id != 0;
        promise(!actors[i].connection || n == actors[i].connection->peer.n_waiting, "%s: a request has no reply",
                actors[i].name);
    }
}

void promises_check_nothing_left(void)
{
    const struct op_env *env = &machine.d.request.op;

    promise(machine.d.regions.n_regions == 0, "a region is left that nobody uses");
    promise(!wait_first(env->wait) && LIST_EMPTY(&env->at_work), "an operation of a client that has gone goes on");
    promise(RB_EMPTY(&env->wait->late), "an operation that has ended is watched");
    promise(machine.d.request.budget.held == 0, "a request of a client that has gone goes on");
    for (enum quota_resource q = 0; q < QUOTA_RESOURCE_N; q++)
        promise(quota_account_used(quota_total(machine.d.quota), q) == 0, "something is charged to nobody");
    promise(machine.d.regions.n_releasing == 0 && machine.d.regions.n_orphans == 0, "the table counts what is gone");
    for (int i = 0; i < MACHINE_USERS; i++)
        promise(!machine.user[i]->waits && machine.user[i]->n_releasing == 0 && machine.user[i]->n_probes == 0 &&
                    machine.user[i]->n_attachments == 0,
                "a user's numbers count what is gone");
    promise(machine.may_leave_files || test_count_files(machine.dir) + test_count_files(machine.other_dir) == 0,
            "a file is left");
}

// ---- The state ----

static uint64_t hash_time(uint64_t h, uint64_t t)
{
    return explorer_hash(h, t == UINT64_MAX ? t : t - machine.now);
}

static uint64_t hash_op(uint64_t h, const struct op *op)
{
    const bool bits[] = {op->cancelled,  op->sealed,     op->is_waiting, op->parked,
                         op->asks_lease, op->asks_marks, op->is_watched, op->file >= 0};
    uint64_t flags = 0;

    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        flags |= (uint64_t)bits[i] << i;
    h = explorer_hash(h, (uintptr_t)op->type);
    h = explorer_hash(h, (uint64_t)op->pid);
    h = explorer_hash(h, flags | (uint64_t)op->n_others << 8);
    h = explorer_hash(h, op->size + (op->at << 20) + (op->offset << 40));
    h = explorer_hash(h,
                      (uint64_t)op->step | op->copied << 8 | (uint64_t)op->moves << 40 | (uint64_t)op->has_moved << 41);
    h = explorer_hash(h, (uint64_t)op->result << 32 | (uint32_t)op->undo);
    if (op->wait_deadline)
        h = hash_time(h, op->wait_deadline);
    if (op->is_waiting)
        h = hash_time(hash_time(h, op->retry_at), op->wait_until);
    // A request whose client has gone has no reply.
    if (op->asker)
        h = explorer_hash(h, ((const struct request *)op->owner)->peer != NULL);
    return h;
}

static uint64_t hash_region(uint64_t h, const struct region *r)
{
    const struct op *op;
    const struct attachment *a;

    h = explorer_hash(h, r->size << 32 | r->record.flags);
    h = explorer_hash(h, (r->disk ? r->disk->number : 0) | (uint64_t)r->n_readers << 1 |
                             (uint64_t)(r->mover != NULL) << 8);
    h = explorer_hash(h, r->charge.amount[QUOTA_BYTES]);
    h = explorer_hash(h, r->state | r->n_probes << 2 | r->holders.awaited << 8 | (r->holders.unknown ? 1U << 16 : 0U));
    for (size_t i = 0; i < r->discarded.n; i++)
        h = explorer_hash(h, r->discarded.items[i].offset << 20 | r->discarded.items[i].length);
    for (unsigned i = 0; i < r->holders.n_lost; i++)
        h = explorer_hash(h, (uint64_t)r->holders.lost[i].holder.pid << 8 | r->holders.lost[i].n);
    TAILQ_FOREACH (a, &r->holders.attachments, of_region)
        h = explorer_hash(h, (uint64_t)a->holder.pid << 1 | a->replaced);
    if (r->orphaned)
        h = hash_time(h, r->probe_at);
    TAILQ_FOREACH (op, &r->ops, entry)
        h = hash_op(h, op);
    return explorer_hash(h, (r->orphaned ? 1U : 0U) | (r->releasing ? 2U : 0U) | (r->file >= 0 ? 4U : 0U));
}

static uint64_t hash_actor(uint64_t h, const struct actor *a)
{
    h = explorer_hash(h, a->position | (uint64_t)a->again.kind << 8 | (uint64_t)a->alive << 16 |
                             (uint64_t)(a->connection != NULL) << 17);
    for (int i = 0; i < ACTOR_REGIONS; i++) {
        const struct mapping *m = &a->maps[i];

        h = explorer_hash(h, (uint64_t)m->discarded << 32 | m->length << 8 | (m->fd >= 0 ? 2U : 0U) | m->attached);
        h = explorer_hash(h, m->told);
    }
    for (int i = 0; i < ACTOR_MOST_FLIGHTS; i++)
        if (a->flights[i].id)
            h = explorer_hash(h, a->flights[i].step.kind | (uint64_t)a->flights[i].returns << 8);
    return h;
}

uint64_t promises_state(void)
{
    uint64_t h = 0xcbf29ce484222325;
    const struct waits *of_user;
    const struct op *op;

    for (unsigned i = 0; i < ACTOR_REGIONS; i++) {
        const struct region *r = actor_region(i);

        h = explorer_hash(h, i);
        if (r)
            h = hash_region(h, r);
    }
    TAILQ_FOREACH (of_user, &machine.d.request.op.wait->turns, turn)
        TAILQ_FOREACH (op, &of_user->ops, waiting)
            h = hash_op(h, op);
    TAILQ_FOREACH (op, &machine.d.request.op.wait->asking, waiting)
        h = hash_op(h, op);
    for (unsigned i = 0; i < machine.n_work; i++) {
        h = hash_op(h, machine_op(i));
        h = explorer_hash(h, (machine.work[i].has_ended ? 1U : 0U) | (machine.work[i].work->has_begun ? 2U : 0U));
    }
    for (int i = 0; i < ACTORS; i++)
        h = hash_actor(h, &actors[i]);
    for (unsigned i = 0; i < n_connections; i++)
        if (!connections[i].is_seen_ended)
            h = explorer_hash(h, (uint64_t)connections[i].peer.holder.pid << 1 | (connections[i].actor != NULL));
    return hash_time(hash_time(h, machine.wait_at), machine.orphans_at);
}
