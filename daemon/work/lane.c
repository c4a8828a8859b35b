// Queues of work, one for each user, that take turns: see lane.h.
//
// A lane may occupy so many workers and no more, however long they take.  So a user whose work is held up, by a process
// that keeps a file's lock in the kernel, loses the workers of that lane and no others.
#include "daemon/work/lane.h"

#include <stdlib.h>

static int lane_compare(const struct lane *a, const struct lane *b)
{
    return a->key != b->key ? (a->key > b->key ? 1 : -1) : (a->disk > b->disk) - (a->disk < b->disk);
}

TREE_GENERATE(lane_tree, lane, node, lane_compare)

static void lane_init(struct lane *lane, uint64_t key, unsigned disk)
{
    *lane = (struct lane){.key = key, .disk = disk};
    TAILQ_INIT(&lane->running);
    TAILQ_INIT(&lane->brief);
    TAILQ_INIT(&lane->other);
}

void lanes_init(struct lanes *l, unsigned n_workers)
{
    RB_INIT(&l->tree);
    TAILQ_INIT(&l->ring);
    lane_init(&l->everybody, 0, 0);
    l->most = n_workers > 1 ? n_workers / 2 : 1;
}

void lanes_deinit(struct lanes *l)
{
    struct lane *lane;

    while ((lane = RB_ROOT(&l->tree))) {
        RB_REMOVE(lane_tree, &l->tree, lane);
        free(lane);
    }
}

static struct lane *find(struct lanes *l, uint64_t key, unsigned disk)
{
    struct lane wanted = {.key = key, .disk = disk}, *lane = RB_FIND(lane_tree, &l->tree, &wanted);

    if (lane)
        return lane;
    lane = malloc(sizeof *lane);
    if (!lane)
        return &l->everybody;
    lane_init(lane, key, disk);
    RB_INSERT(lane_tree, &l->tree, lane);
    return lane;
}

// Must follow each change of a lane: puts it on the ring or takes it off, and frees it if it has nothing to do.
static void settle(struct lanes *l, struct lane *lane)
{
    bool has_work = !TAILQ_EMPTY(&lane->brief) || !TAILQ_EMPTY(&lane->other);

    if (has_work && !lane->queued)
        TAILQ_INSERT_TAIL(&l->ring, lane, ring);
    if (!has_work && lane->queued)
        TAILQ_REMOVE(&l->ring, lane, ring);
    lane->queued = has_work;
    if (!has_work && lane->n_running == 0 && lane != &l->everybody) {
        RB_REMOVE(lane_tree, &l->tree, lane);
        free(lane);
    }
}

static struct work_queue *queue_of(const struct work *w)
{
    return w->brief ? &w->queue->brief : &w->queue->other;
}

struct lane *lanes_push(struct lanes *l, struct work *w)
{
    struct lane *lane = w->queue = find(l, w->lane, w->disk);

    TAILQ_INSERT_TAIL(queue_of(w), w, entry);
    w->waits = true;
    l->n_queued++;
    settle(l, lane);
    return lane;
}

bool lane_is_full(const struct lanes *l, const struct lane *lane)
{
    return lane->n_running >= l->most;
}

static struct work *first_of(const struct lanes *l, const struct lane *lane, bool brief_only)
{
    struct work *brief = TAILQ_FIRST(&lane->brief);

    if (lane->n_running >= l->most + brief_only)
        return NULL;
    return brief || brief_only ? brief : TAILQ_FIRST(&lane->other);
}

struct work *lanes_take(struct lanes *l, bool brief_only)
{
    struct lane *lane;

    TAILQ_FOREACH (lane, &l->ring, ring) {
        struct work *w = first_of(l, lane, brief_only);

        if (!w)
            continue;
        TAILQ_REMOVE(queue_of(w), w, entry);
        TAILQ_INSERT_TAIL(&lane->running, w, entry);
        w->waits = false;
        lane->n_running++;
        l->n_queued--;
        l->n_running++;
        // The lane's turn is over: it goes to the end of the ring.
        TAILQ_REMOVE(&l->ring, lane, ring);
        lane->queued = false;
        settle(l, lane);
        return w;
    }
    return NULL;
}

bool lanes_have(const struct lanes *l, bool brief_only)
{
    const struct lane *lane;

    TAILQ_FOREACH (lane, &l->ring, ring)
        if (first_of(l, lane, brief_only))
            return true;
    return false;
}

void lanes_end(struct lanes *l, struct work *w, bool again)
{
    struct lane *lane = w->queue; // exists as long as it counts this work as running

    lane->n_running--;
    l->n_running--;
    l->n_queued += again;
    TAILQ_REMOVE(&lane->running, w, entry);
    if (again)
        TAILQ_INSERT_TAIL(queue_of(w), w, entry);
    w->waits = again;
    settle(l, lane);
}

bool lanes_is_blocked(const struct lanes *l, const struct work *w, uint64_t before)
{
    const struct lane *lane = w->queue;
    const struct work *running;

    if (lane->n_running < l->most)
        return false;
    TAILQ_FOREACH (running, &lane->running, entry)
        if (running->slow || running->since > before)
            return false;
    return true;
}

void lanes_withdraw(struct lanes *l, struct work *w)
{
    l->n_queued--;
    TAILQ_REMOVE(queue_of(w), w, entry);
    w->waits = false;
    settle(l, w->queue);
}
