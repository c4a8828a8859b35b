// See op_fixture.h.
#include "tests/lib/op_fixture.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/op/op.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/request/peer.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/clock.h"
#include "tests/lib/scratch.h"

_Atomic(enum fault_kind) fault_kind;
_Atomic int fault_countdown, fault_error, n_faults;

bool fails(enum fault_kind kind)
{
    if ((fault_kind != kind && fault_kind != EVERY) || --fault_countdown > 0)
        return false;
    n_faults++;
    return true;
}

static int faulty_open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    return fails(OPEN) ? -fault_error : file_ops_system.open_at(dirfd, path, flags, mode);
}

static int faulty_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    // As a real one may: part of it is done before it fails.
    if (fails(ALLOCATE)) {
        file_ops_system.allocate(fd, mode, offset, length / 2 + 1);
        if (mode & FALLOC_FL_PUNCH_HOLE)
            fault_kind = NO_FAULT; // what was punched can be allocated again
        return -fault_error;
    }
    return file_ops_system.allocate(fd, mode, offset, length);
}

static int faulty_truncate(int fd, uint64_t size)
{
    return fails(TRUNCATE) ? -fault_error : file_ops_system.truncate(fd, size);
}

static int faulty_link_at(int fd, int dirfd, const char *path)
{
    return fails(LINK) ? -fault_error : file_ops_system.link_at(fd, dirfd, path);
}

static int faulty_unlink_at(int dirfd, const char *path, int flags)
{
    return fails(UNLINK) ? -fault_error : file_ops_system.unlink_at(dirfd, path, flags);
}

static int faulty_set_xattr(int fd, const char *name, const void *value, size_t size)
{
    return fails(SET_XATTR) ? -fault_error : file_ops_system.set_xattr(fd, name, value, size);
}

static int faulty_stat_fs(int fd, struct statvfs *ret)
{
    return fails(STAT_FS) ? -fault_error : file_ops_system.stat_fs(fd, ret);
}

static int no_sync_fs(int fd)
{
    (void)fd;
    return 0;
}

static int faulty_sync(int fd)
{
    return fails(SYNC) ? -fault_error : file_ops_system.sync(fd);
}

static void no_wake(void *data, uint64_t at)
{
    (void)data;
    (void)at;
}

static void on_waiting(evutil_socket_t fd, short what, void *data)
{
    struct fixture *f = data;

    (void)fd;
    (void)what;
    op_resume_waiting(&f->env, clock_now());
}

static void wake_for_waiting(void *data, uint64_t at)
{
    static const struct timeval soon = {.tv_usec = 1000};
    struct fixture *f = data;

    (void)at;
    if (!f->is_asleep)
        event_add(f->waiting, &soon);
}

void fixture_init(struct fixture *f)
{
    char *error = NULL;

    memset(f, 0, sizeof *f);
    fault_kind = NO_FAULT;
    snprintf(f->dir, sizeof f->dir, "%s/test-op.XXXXXX", test_base_dir());
    assert_non_null(mkdtemp(f->dir));
    f->ops = file_ops_system;
    f->ops.open_at = faulty_open_at;
    f->ops.allocate = faulty_allocate;
    f->ops.truncate = faulty_truncate;
    f->ops.link_at = faulty_link_at;
    f->ops.unlink_at = faulty_unlink_at;
    f->ops.set_xattr = faulty_set_xattr;
    f->ops.stat_fs = faulty_stat_fs;
    f->ops.sync = faulty_sync;
    f->ops.sync_fs = no_sync_fs;
    f->base = event_base_new();
    f->waiting = evtimer_new(f->base, on_waiting, f);
    assert_int_equal(store_open(f->dir, false, &f->ops, &f->disk.store, &error), 0);
    region_table_init(&f->regions, store_block_size(f->disk.store));
    f->env.disks = &f->disk;
    f->env.regions = &f->regions;
    f->quota = quota_new();
    assert_int_equal(worker_pool_new(f->base, 4, &f->env.pool), 0);
    assert_int_equal(user_table_new(f->env.pool, f->quota, &f->users), 0);
    assert_int_equal(orphans_new(&f->regions, no_wake, NULL, &f->env.orphans), 0);
    assert_int_equal(wait_new(&f->regions, wake_for_waiting, f, &f->env.wait), 0);
    f->owner = user_ref(f->users, OWNER);
    assert_non_null(f->owner);
    user_ref(f->users, OWNER); // the peer's
    peer_init(&f->peer, f->owner, 1);
    peer_note_start(&f->peer);
}

void turn_until(struct fixture *f, const bool *flag)
{
    while (!*flag)
        assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
}

void fixture_deinit(struct fixture *f)
{
    char command[200];
    struct region *r;

    peer_deinit(&f->peer, f->env.orphans);
    op_end_waiting(&f->env);
    wait_free(f->env.wait);
    assert_true(worker_pool_stop(f->env.pool, 10000));
    while ((r = region_next(&f->regions, NULL))) {
        assert_true(TAILQ_EMPTY(&r->ops));
        region_remove(&f->regions, r);
        r->orphaned = false;
        region_free(r);
    }
    user_unref(f->owner);
    orphans_free(f->env.orphans);
    worker_pool_free(f->env.pool);
    user_table_free(f->users);
    quota_free(f->quota); // asserts that every account is zero
    store_close(f->disk.store);
    event_free(f->waiting);
    event_base_free(f->base);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
}

void set_done(struct op *op)
{
    *(bool *)op->owner = true;
}

int run_op(struct fixture *f, struct op *op)
{
    bool done = false;

    op->done = set_done;
    op->owner = &done;
    op_submit(op);
    turn_until(f, &done);
    if (op->fd >= 0)
        close(op->fd);
    return op->result;
}

int create(struct fixture *f, const char *name, uint64_t size, struct region **ret)
{
    struct record record = {.owner_uid = OWNER, .mode = 0600, .name_length = (uint8_t)strlen(name)};
    struct op op;
    int r;

    memcpy(record.name, name, strlen(name) + 1);
    assert_int_equal(handle_random(&record.handle), 0);
    *ret = region_add(&f->regions, &record, f->owner);
    op_init(&op, &f->env, &op_create, *ret);
    op.size = size;
    r = run_op(f, &op);
    if (r < 0)
        return r;
    // The region was an orphan for a moment.  It was not probed: op_reap_orphans is not called here.
    assert_int_equal(peer_attach(&f->peer, *ret, false, HOLDER_IS_NEW), 0);
    orphans_consider(f->env.orphans, *ret);
    return 0;
}

int resize(struct fixture *f, struct region *r, uint64_t size)
{
    struct op op;

    op_init(&op, &f->env, size > r->size ? &op_grow : &op_shrink, r);
    op.size = size;
    op.known_size = r->size;
    return run_op(f, &op);
}

int commit(struct fixture *f, struct region *r, uint64_t used, bool durable)
{
    struct op op;

    op_init(&op, &f->env, &op_commit, r);
    op.size = used;
    op.element_size = 8;
    op.durable = durable;
    return run_op(f, &op);
}

int open_it(struct fixture *f, struct region *r)
{
    struct op op;

    op_init(&op, &f->env, &op_open, r);
    return run_op(f, &op);
}

uint64_t charged(struct fixture *f)
{
    return quota_account_used(quota_total(f->quota), QUOTA_BYTES);
}

void expect_consistent(struct fixture *f, uint64_t expected_bytes, uint64_t expected_regions)
{
    assert_int_equal(charged(f), expected_bytes);
    assert_int_equal(quota_account_used(quota_total(f->quota), QUOTA_REGIONS), expected_regions);
    assert_int_equal(test_sum_sizes(f->dir), expected_bytes);
}

void inject(enum fault_kind kind, int nth, int error)
{
    n_faults = 0;
    fault_error = error;
    fault_countdown = nth;
    fault_kind = kind;
}

// A quota of the file system is no quota of the daemon.
int told(int error)
{
    return error == EDQUOT ? -ENOSPC : -error;
}
