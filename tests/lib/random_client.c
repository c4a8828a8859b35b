// See random_client.h.
#include "tests/lib/random_client.h"

#include "client/region/region.h"
#include "tests/lib/actor.h"
#include "tests/lib/test_backend.h"

uint64_t crash_mix(uint64_t i)
{
    i = (i ^ (i >> 31)) * 0x9e3779b97f4a7c15;
    return i ^ (i >> 29);
}

uint64_t crash_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t crash_below(struct crash_client *c, uint64_t n)
{
    return crash_random(&c->state) % n;
}

static struct crash_row crash_row(struct crash_client *c)
{
    uint64_t value = crash_random(&c->state);

    return (struct crash_row){value, crash_mix(value + (uint64_t)c->id)};
}

static void crash_check_vec(const struct rows *v, const struct crash_model *m)
{
    NEED(v->len == m->len);
    NEED(m->len == 0 || memcmp(v->data, m->row, m->len * sizeof m->row[0]) == 0);
}

static void crash_check_raw(const struct crash_client *c)
{
    const uint64_t *data = diskalloc_region_data(c->raw);

    NEED(diskalloc_region_size(c->raw) == c->n_blocks * 4096);
    for (size_t b = 0; b < c->n_blocks; b++)
        for (size_t i = b * 512; i < (b + 1) * 512 && !c->gone[b]; i++)
            NEED(data[i] == (c->stamp[b] ? crash_mix(c->stamp[b] + i) : 0));
}

static void crash_check_all(const struct crash_client *c)
{
    crash_check_vec(&c->vec, &c->vec_model);
    crash_check_vec(&c->kept, &c->kept_model);
    crash_check_raw(c);
}

static void crash_fill(struct crash_client *c, size_t from, size_t to)
{
    uint64_t *data = diskalloc_region_data(c->raw);

    for (size_t b = from; b < to; b++) {
        if (c->gone[b])
            continue;
        c->stamp[b] = crash_random(&c->state) | 1;
        for (size_t i = b * 512; i < (b + 1) * 512; i++)
            data[i] = crash_mix(c->stamp[b] + i);
    }
}

static void crash_grow_vec(struct crash_client *c)
{
    struct crash_model *m = &c->vec_model;
    size_t at = crash_below(c, m->len + 1), n = 1 + crash_below(c, 300);

    if (m->len + n + 1 > CRASH_ROWS)
        return;
    m->row[m->len] = crash_row(c);
    memmove(&m->row[at + 1], &m->row[at], (m->len++ - at) * sizeof m->row[0]);
    m->row[at] = crash_row(c);
    CRASH_DONE(rows_insert(&c->vec, at, m->row[at]));
    if (crash_below(c, 4) == 0) {
        memset(&m->row[m->len], 0, n * sizeof m->row[0]);
        CRASH_DONE(rows_resize(&c->vec, m->len += n));
    } else {
        for (; n > 0; n--) {
            m->row[m->len] = crash_row(c);
            CRASH_DONE(rows_push(&c->vec, m->row[m->len++]));
        }
    }
}

static void crash_cut_vec(struct crash_client *c)
{
    struct crash_model *m = &c->vec_model;
    struct crash_row row;

    if (m->len > 0) {
        CRASH_DONE(rows_pop(&c->vec, &row));
        NEED(memcmp(&row, &m->row[--m->len], sizeof row) == 0);
    }
    CRASH_DONE(rows_truncate(&c->vec, m->len -= crash_below(c, m->len + 1)));
    CRASH_DONE(rows_shrink_to_fit(&c->vec));
}

static void crash_commit(struct crash_client *c)
{
    CRASH_DONE(rows_commit(&c->kept, crash_below(c, 16) == 0 ? DISKALLOC_DURABLE : 0));
    c->committed = c->kept_model.len;
}

// Committed bytes are never overwritten: a client that is killed leaves only whole rows.
static void crash_change_kept(struct crash_client *c)
{
    struct crash_model *m = &c->kept_model;
    size_t n = 1 + crash_below(c, 500);

    if (m->len + n > CRASH_ROWS) {
        CRASH_DONE(rows_truncate(&c->kept, m->len = crash_below(c, m->len)));
        CRASH_DONE(rows_commit(&c->kept, 0));
        c->committed = m->len;
        CRASH_DONE(rows_shrink_to_fit(&c->kept));
        return;
    }
    for (; n > 0; n--) {
        m->row[m->len] = crash_row(c);
        CRASH_DONE(rows_push(&c->kept, m->row[m->len++]));
    }
    if (crash_below(c, 2))
        crash_commit(c);
}

static void crash_open_kept(struct crash_client *c)
{
    struct diskalloc_region *r = NULL;

    CRASH_DONE(open_named(c->da, c->name, 0, DISKALLOC_REGION_CREATE, &r));
    CRASH_DONE(rows_init_region(&c->kept, r));
}

static void crash_reopen_kept(struct crash_client *c)
{
    crash_commit(c);
    rows_deinit(&c->kept);
    crash_open_kept(c);
    crash_check_vec(&c->kept, &c->kept_model);
}

static void crash_resize_raw(struct crash_client *c)
{
    size_t n = 1 + crash_below(c, CRASH_BLOCKS), before = c->n_blocks;

    CRASH_DONE(diskalloc_region_resize(c->raw, n * 4096));
    c->n_blocks = n;
    for (size_t b = before < n ? before : n; b < CRASH_BLOCKS; b++) {
        c->stamp[b] = 0;
        c->gone[b] = false;
    }
    crash_check_raw(c);
    crash_fill(c, before, n);
}

static void crash_discard_raw(struct crash_client *c, bool discard)
{
    size_t from = crash_below(c, c->n_blocks), n = 1 + crash_below(c, c->n_blocks - from);

    if (discard)
        CRASH_DONE(diskalloc_region_discard(c->raw, from * 4096, n * 4096));
    else
        CRASH_DONE(diskalloc_region_restore(c->raw, from * 4096, n * 4096));
    for (size_t b = from; b < from + n; b++) {
        if (discard || c->gone[b])
            c->stamp[b] = 0;
        c->gone[b] = discard;
    }
    if (discard)
        return;
    crash_check_raw(c);
    crash_fill(c, from, from + n);
}

static void crash_make_or_close_brief(struct crash_client *c)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region **r = &c->brief[crash_below(c, CRASH_BRIEF)];

    if (*r) {
        if (r == &c->brief[0])
            CRASH_DONE(diskalloc_region_unlink(c->da, c->brief_name));
        diskalloc_region_close(*r);
        *r = NULL;
        return;
    }
    o.size = crash_below(c, 300000);
    if (r != &c->brief[0]) {
        CRASH_DONE(diskalloc_region_create(c->da, &o, r));
    } else {
        o.flags = DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE;
        CRASH_DONE(diskalloc_region_open(c->da, c->brief_name, &o, r));
    }
    NEED(diskalloc_region_size(*r) == o.size);
    memset(diskalloc_region_data(*r), c->id, o.size);
}

// The child finds everything, stores where its parent will find it, and may ask for something of its own.
static void crash_fork(struct crash_client *c)
{
    uint64_t *data = diskalloc_region_data(c->raw), token = crash_random(&c->state);
    bool asks = crash_below(c, 2);
    int status;
    pid_t pid;

    if (c->gone[0])
        return;
    pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        struct diskalloc_region *r = NULL;

        crash_check_all(c);
        data[7] = token;
        if (asks)
            CRASH_DONE(diskalloc_region_create(c->da, NULL, &r));
        _exit(0);
    }
    NEED(waitpid(pid, &status, 0) == pid && status == 0);
    NEED(data[7] == token);
    crash_fill(c, 0, 1);
}

static void crash_step(struct crash_client *c)
{
    if (--c->shared->fuse == 0)
        kill(c->shared->victim, SIGKILL);
    c->shared->steps++;
    switch (crash_below(c, 16)) {
    case 0 ... 3:
        crash_grow_vec(c);
        break;
    case 4:
        crash_cut_vec(c);
        break;
    case 5 ... 6:
        crash_change_kept(c);
        break;
    case 7:
        crash_reopen_kept(c);
        break;
    case 8 ... 9:
        crash_resize_raw(c);
        break;
    case 10:
    case 11:
        crash_discard_raw(c, true);
        break;
    case 12:
        crash_discard_raw(c, false);
        break;
    case 13 ... 14:
        crash_make_or_close_brief(c);
        break;
    default:
        crash_fork(c);
    }
}

// An early grow may have been granted already, and the vector has not taken it over yet.
static uint64_t crash_charge_of(struct diskalloc_region *r)
{
    NEED(diskalloc_region_refresh(r) >= 0);
    return (diskalloc_region_size(r) + 4095) & ~UINT64_C(4095);
}

static void crash_publish(struct crash_client *c)
{
    uint64_t charge = crash_charge_of(c->kept.region) + crash_charge_of(c->raw), n = 2;

    // A small vector has no file, and is not charged.
    if (c->vec.region && !c->vec.region->small.fileless) {
        charge += crash_charge_of(c->vec.region);
        n++;
    }
    for (size_t b = 0; b < c->n_blocks; b++)
        charge -= c->gone[b] ? 4096 : 0;
    for (size_t i = 0; i < CRASH_BRIEF; i++)
        if (c->brief[i]) {
            charge += crash_charge_of(c->brief[i]);
            n++;
        }
    c->shared->charge[c->id] = charge;
    c->shared->regions[c->id] = n;
}

// The rows that a killed client had committed are there.
static void crash_inherit(struct crash_client *c)
{
    int code = diskalloc_region_unlink(c->da, c->brief_name);

    NEED(code == 0 || code == -ENOENT);
    crash_open_kept(c);
    for (size_t i = 0; i < c->kept.len; i++)
        NEED(c->kept.data[i].sum == crash_mix(c->kept.data[i].value + (uint64_t)c->id));
    rows_deinit(&c->kept);
    CRASH_DONE(diskalloc_region_unlink(c->da, c->name));
    crash_open_kept(c);
    crash_commit(c); // from here on what counts is never the capacity
}

static void crash_start(struct crash_client *c)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    snprintf(c->name, sizeof c->name, "kept-%d", c->id);
    snprintf(c->brief_name, sizeof c->brief_name, "brief-%d", c->id);
    crash_inherit(c);
    CRASH_DONE(rows_init(&c->vec, c->da));
    c->n_blocks = 1;
    o.size = 4096;
    CRASH_DONE(diskalloc_region_create(c->da, &o, &c->raw));
}

static void crash_end(struct crash_client *c)
{
    if (c->brief[0])
        CRASH_DONE(diskalloc_region_unlink(c->da, c->brief_name));
    rows_deinit(&c->vec);
    rows_deinit(&c->kept);
    diskalloc_region_close(c->raw);
    for (size_t i = 0; i < CRASH_BRIEF; i++)
        diskalloc_region_close(c->brief[i]);
    CRASH_DONE(diskalloc_region_unlink(c->da, c->name));
    diskalloc_close(c->da);
}

void crash_walk(struct actor *self, void *data)
{
    struct crash_client *c = data;

    c->state = c->shared->seed ^ crash_mix((uint64_t)(c->id * 1000 + c->generation + 1));
    // No process is killed meanwhile: only a client that was connected before connects again.
    CRASH_DONE(diskalloc_open(c->shared->address, NULL, &c->da));
    actor_next(self);
    crash_start(c);
    while (!c->shared->stop) {
        crash_step(c);
        if (c->round != c->shared->round) {
            c->round = c->shared->round;
            crash_check_all(c);
            crash_publish(c);
            actor_next(self);
        }
    }
    crash_check_all(c);
    crash_end(c);
}
