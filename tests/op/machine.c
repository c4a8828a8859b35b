// The daemon's operations, quotas, holders, orphans and recovery are the real ones, on a real directory.  This file
// takes the place of three modules, whose functions it defines: the linker does not take them from the daemon's library
// then.  work/worker.c: work that is submitted lies in a list until the test runs a piece of it, or delivers its end.
// proto/util/clock.c: time passes when the test says so.  daemon/log.c: nobody reads the log.
//
// A daemon that is killed is one whose calls reach the disk no more: everything is ended and freed, and none of it can
// change a file.
#include "tests/op/machine.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>

#include "daemon/config/config.h"
#include "daemon/fence/fence.h"
#include "daemon/halves.h"
#include "daemon/log.h"
#include "daemon/op/wait.h"
#include "daemon/orphans.h"
#include "daemon/recovery.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

struct machine machine;

// ---- The clock, and the log ----

uint64_t clock_now(void)
{
    return machine.now;
}

uint64_t clock_now_us(void)
{
    return machine.now * 1000;
}

uint64_t clock_after(int64_t timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : machine.now + (uint64_t)timeout_ms;
}

uint64_t clock_left(uint64_t deadline)
{
    return deadline == UINT64_MAX ? UINT64_MAX : deadline > machine.now ? deadline - machine.now : 0;
}

struct timespec clock_timespec(uint64_t deadline)
{
    return (struct timespec){.tv_sec = (time_t)(deadline / 1000), .tv_nsec = (long)(deadline % 1000) * 1000000};
}

void log_line(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void log_with(enum log_level level, const struct log_fields *fields, const char *format, ...)
{
    (void)level;
    (void)fields;
    (void)format;
}

bool log_may(enum log_kind kind, uid_t uid)
{
    (void)kind;
    (void)uid;
    return false;
}

// ---- The workers ----

void worker_submit(struct worker_pool *pool, struct work *w)
{
    (void)pool;
    assert_true(machine.n_work < MACHINE_MOST_WORK);
    w->has_begun = false;
    w->since = machine.now;
    machine.work[machine.n_work++] = (struct machine_work){.work = w};
}

static void forget_work(unsigned i)
{
    machine.n_work--;
    memmove(&machine.work[i], &machine.work[i + 1], (machine.n_work - i) * sizeof machine.work[0]);
}

bool worker_withdraw(struct worker_pool *pool, struct work *w, uint64_t before)
{
    (void)pool;
    for (unsigned i = 0; i < machine.n_work; i++)
        if (machine.work[i].work == w && !w->has_begun && w->since <= before) {
            forget_work(i);
            return true;
        }
    return false;
}

bool worker_take_back(struct worker_pool *pool, struct work *w)
{
    return worker_withdraw(pool, w, UINT64_MAX);
}

uint64_t worker_since(struct worker_pool *pool, const struct work *w)
{
    (void)pool;
    return w->since;
}

bool worker_is_held_up(struct worker_pool *pool, const struct work *w, uint64_t before, uint64_t slow_before)
{
    (void)pool;
    return w->has_begun && w->since <= (w->slow ? slow_before : before);
}

unsigned worker_count(struct worker_pool *pool)
{
    (void)pool;
    return 1;
}

void worker_get_load(struct worker_pool *pool, struct worker_load *ret)
{
    (void)pool;
    *ret = (struct worker_load){.threads = 1, .queued = machine.n_work};
}

struct op *machine_op(unsigned i)
{
    return container_of(machine.work[i].work, struct op, work);
}

void machine_run(unsigned i)
{
    struct work *w = machine.work[i].work;

    w->has_begun = true;
    w->since = machine.now;
    machine.work[i].has_ended = w->run(w) == WORK_DONE;
}

void machine_deliver(unsigned i)
{
    struct work *w = machine.work[i].work;

    forget_work(i);
    w->done(w);
}

// ---- The disk ----

// 0: the call may go on; -errno.
static int gate(enum disk_call call)
{
    if (machine.is_dead)
        return -EIO;
    if (machine.failing == call) {
        machine.failing = DISK_NONE;
        machine.has_failed = machine.may_leave_files = true;
        return call == DISK_ALLOCATE || call == DISK_LINK ? -ENOSPC : call == DISK_OPEN ? -EMFILE : -EIO;
    }
    if (call == DISK_OPEN || machine.calls_left == UINT_MAX)
        return 0;
    if (machine.calls_left == 0) {
        machine.is_dead = true;
        return -EIO;
    }
    machine.calls_left--;
    return 0;
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    int r = gate(DISK_OPEN);

    return r < 0 ? r : file_ops_system.open_at(dirfd, path, flags, mode);
}

// As a real one may: a part is done before it fails.
static int allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    int r = gate(DISK_ALLOCATE);

    if (r == -ENOSPC && length > MACHINE_BLOCK)
        file_ops_system.allocate(fd, mode, offset, MACHINE_BLOCK);
    return r < 0 ? r : file_ops_system.allocate(fd, mode, offset, length);
}

static int truncate_to(int fd, uint64_t size)
{
    int r = gate(DISK_TRUNCATE);

    return r < 0 ? r : file_ops_system.truncate(fd, size);
}

static int link_at(int fd, int dirfd, const char *path)
{
    int r = gate(DISK_LINK);

    return r < 0 ? r : file_ops_system.link_at(fd, dirfd, path);
}

static int unlink_at(int dirfd, const char *path, int flags)
{
    int r = gate(DISK_UNLINK);

    return r < 0 ? r : file_ops_system.unlink_at(dirfd, path, flags);
}

static int set_xattr(int fd, const char *name, const void *value, size_t size)
{
    int r = gate(DISK_XATTR);

    return r < 0 ? r : file_ops_system.set_xattr(fd, name, value, size);
}

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static void open_disk(struct disk *disk, char *dir, size_t size)
{
    char *error = NULL;

    scratch_make_dir(dir, size);
    assert_int_equal(store_open(dir, false, &machine.ops, &disk->store, &error), 0);
    assert_int_equal(fence_new(CONFIG_FENCE_OFF, disk->store, &disk->fence, &error), 0);
}

void machine_open(void)
{
    machine = (struct machine){.now = 1000000, .failing = DISK_NONE, .calls_left = UINT_MAX};
    machine.ops = file_ops_system;
    machine.ops.open_at = open_at;
    machine.ops.allocate = allocate;
    machine.ops.truncate = truncate_to;
    machine.ops.link_at = link_at;
    machine.ops.unlink_at = unlink_at;
    machine.ops.set_xattr = set_xattr;
    machine.ops.sync = machine.ops.sync_fs = no_sync;
    open_disk(&machine.disk.disk, machine.dir, sizeof machine.dir);
    open_disk(&machine.other.disk, machine.other_dir, sizeof machine.other_dir);
    machine.d.base = event_base_new();
    assert_non_null(machine.d.base);
}

static void close_disk(struct disk *disk, const char *dir)
{
    fence_free(disk->fence);
    store_close(disk->store);
    scratch_remove_tree(dir);
}

void machine_close(void)
{
    close_disk(&machine.disk.disk, machine.dir);
    close_disk(&machine.other.disk, machine.other_dir);
    event_base_free(machine.d.base);
}

struct disk *machine_disk(unsigned number)
{
    return number == 0 ? &machine.disk.disk : &machine.other.disk;
}

void machine_remove_files(const struct handle *handle)
{
    for (unsigned n = 0; n < 2; n++)
        for (int i = 0; i < MACHINE_USERS; i++)
            store_unlink(machine_disk(n)->store, machine_uid[i], handle);
}

// ---- The daemon ----

static void wake_for_waiting(void *data, uint64_t at)
{
    (void)data;
    machine.wait_at = u64_min(machine.wait_at, at);
}

static void wake_for_orphans(void *data, uint64_t at)
{
    (void)data;
    machine.orphans_at = u64_min(machine.orphans_at, at);
}

void machine_wait_timer(void)
{
    machine.wait_at = UINT64_MAX;
    op_resume_waiting(&machine.d.request.op, machine.now);
}

void machine_orphans_timer(void)
{
    machine.orphans_at = UINT64_MAX;
    op_reap_orphans(&machine.d.request.op, machine.now);
}

uint64_t machine_next_timer(void)
{
    return u64_min(machine.wait_at, machine.orphans_at);
}

static void finish_work(void)
{
    while (machine.n_work > 0)
        if (machine.work[0].has_ended)
            machine_deliver(0);
        else
            machine_run(0);
}

// While recovery_run turns the loop.
static void on_turn(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
    finish_work();
}

static void recover(void)
{
    static const struct timeval at_once;
    struct event *turn = event_new(machine.d.base, -1, EV_PERSIST, on_turn, NULL);

    assert_int_equal(event_add(turn, &at_once), 0);
    assert_int_equal(recovery_run(&machine.d), 0);
    event_free(turn);
    assert_int_equal(machine.d.request.op.n_repairs, 0);
    assert_int_equal(machine.disk.disk.left.foreign, 0);
    assert_int_equal(machine.other.disk.left.foreign, 0);
}

// As of a disk that has just been opened.
static void begin_disk(struct daemon_disk *x, unsigned number)
{
    *x = (struct daemon_disk){.daemon = &machine.d,
                              .disk = {.number = number, .store = x->disk.store, .fence = x->disk.fence}};
}

void machine_start(void)
{
    static const struct config config;
    struct quota_limits limits = {.max = {machine.limit, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                  .region_bytes = QUOTA_UNLIMITED,
                                  .warn_bytes = QUOTA_UNLIMITED};
    struct daemon *d = &machine.d;
    struct request_env *env = &d->request;
    struct disk *disk = &machine.disk.disk;

    machine.is_dead = false;
    machine.failing = DISK_NONE;
    machine.calls_left = UINT_MAX;
    machine.wait_at = machine.orphans_at = UINT64_MAX;
    *env = (struct request_env){.op = {.disks = disk, .regions = &d->regions}, .config = &config};
    begin_disk(&machine.disk, 0);
    begin_disk(&machine.other, 1);
    disk->next = machine.has_two_disks ? &machine.other.disk : NULL;
    region_table_init(&d->regions, store_block_size(disk->store));
    d->quota = env->quota = quota_new();
    assert_non_null(d->quota);
    quota_account_set(quota_total(d->quota), "total", &limits);
    assert_int_equal(user_table_new(NULL, d->quota, &d->users), 0);
    env->users = d->users;
    budget_init(&env->budget);
    rounds_init(&env->abandoned);
    assert_int_equal(orphans_new(&d->regions, wake_for_orphans, NULL, &env->op.orphans), 0);
    assert_int_equal(wait_new(&d->regions, wake_for_waiting, NULL, &env->op.wait), 0);
    for (int i = 0; i < MACHINE_USERS; i++) {
        machine.user[i] = user_ref(d->users, machine_uid[i]);
        assert_non_null(machine.user[i]);
        machine.user[i]->known = true; // nobody is looked up
    }
    recover();
}

void machine_kill(void)
{
    struct daemon *d = &machine.d;
    struct region *r;

    machine.is_dead = true;
    finish_work();
    op_end_waiting(&d->request.op);
    finish_work();
    op_end_waiting(&d->request.op);
    assert_int_equal(machine.n_work, 0);
    assert_true(LIST_EMPTY(&d->request.op.at_work));
    wait_free(d->request.op.wait);
    while ((r = region_next(&d->regions, NULL))) {
        assert_true(TAILQ_EMPTY(&r->ops));
        region_remove(&d->regions, r);
        r->orphaned = false;
        region_free(r);
    }
    assert_int_equal(d->request.budget.held, 0);
    orphans_free(d->request.op.orphans);
    for (int i = 0; i < MACHINE_USERS; i++)
        user_unref(machine.user[i]);
    user_table_free(d->users);
    quota_free(d->quota); // asserts that every account is zero
    halves_forget(&d->halves, NULL);
}
