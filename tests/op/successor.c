// See successor.h.
#include "tests/op/successor.h"

#include "daemon/disks.h"
#include "daemon/fence/fence.h"
#include "daemon/halves.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/recovery.h"
#include "tests/lib/harness.h"

static void no_wake(void *data, uint64_t at)
{
    (void)data;
    (void)at;
}

// The daemon has closed the second disk.  It goes on without it, and the fixture has it again.
static void take_back_second(struct successor *n)
{
    struct two_disks *t = n->t;
    const struct file_ops ops = t->f.ops;
    char *error = NULL;

    assert_true(n_faults > 0);
    fault_kind = NO_FAULT;
    n->disks[1] = NULL;
    t->f.ops = file_ops_system; // what the test watches is not for this
    assert_int_equal(store_open(t->dir, false, &t->f.ops, &t->second.store, &error), 0);
    t->f.ops = ops;
}

void successor_start(struct successor *n, struct two_disks *t, bool has_first, bool has_second)
{
    struct daemon *d = &n->d;
    char *error = NULL;

    memset(n, 0, sizeof *n);
    n->t = t;
    for (int i = 0; i < 2; i++) {
        struct daemon_disk *x = n->disks[i] = calloc(1, sizeof *x);

        assert_non_null(x);
        x->daemon = d;
        x->disk.number = (unsigned)i;
        x->disk.store = i == 0 ? t->f.disk.store : t->second.store;
        assert_int_equal(fence_new(CONFIG_FENCE_OFF, x->disk.store, &x->disk.fence, &error), 0);
    }
    n->disks[0]->disk.next = has_second ? &n->disks[1]->disk : NULL;
    d->home = d->request.op.disks = has_first ? &n->disks[0]->disk : &n->disks[1]->disk;
    d->base = t->f.base;
    d->quota = quota_new();
    region_table_init(&d->regions, 4096);
    d->request.op.regions = &d->regions;
    d->request.op.pool = t->f.env.pool;
    assert_int_equal(user_table_new(NULL, d->quota, &d->users), 0);
    n->owner = user_ref(d->users, OWNER);
    n->owner->known = true; // nobody is looked up
    assert_int_equal(orphans_new(&d->regions, no_wake, NULL, &d->request.op.orphans), 0);
    assert_int_equal(wait_new(&d->regions, no_wake, NULL, &d->request.op.wait), 0);
    if (recovery_run(d) < 0)
        assert_true(n_faults > 0);
    if (d->request.absences)
        take_back_second(n);
}

void successor_end(struct successor *n)
{
    struct daemon *d = &n->d;
    struct region *r;

    halves_forget(&d->halves, NULL);
    while ((r = region_next(&d->regions, NULL))) {
        region_remove(&d->regions, r);
        r->orphaned = false;
        region_free(r);
    }
    orphans_free(d->request.op.orphans);
    wait_free(d->request.op.wait);
    user_unref(n->owner);
    user_table_free(d->users);
    quota_free(d->quota);
    while (d->request.absences)
        disks_forget_absence(d, d->request.absences->dir);
    for (int i = 0; i < 2; i++)
        if (n->disks[i]) {
            fence_free(n->disks[i]->disk.fence);
            free(n->disks[i]);
        }
}
