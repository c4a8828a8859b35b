// A region moves to another disk: with its content, its charge and its name, or not at all.  Wherever the daemon is
// killed on the way, its successor finds exactly one whole region.
#include <semaphore.h>

#include "daemon/fence/fence.h"
#include "daemon/halves.h"
#include "daemon/op/op_internal.h"
#include "daemon/recovery.h"
#include "daemon/state.h"
#include "tests/lib/two_disks.h"
#include "tests/op/successor.h"

enum { BLOCK = 4096, SIZE = 40 * BLOCK + 7, CHARGED = 41 * BLOCK };

struct scene {
    struct two_disks d;
    struct region *r;
};

static const char *content(void)
{
    static char bytes[SIZE];

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i / BLOCK + i % 251 + 1);
    return bytes;
}

static void fill(const struct disk *disk, const struct region *r)
{
    int fd = store_open_file(disk->store, OWNER, &r->record.handle, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, content(), SIZE, 0), SIZE);
    close(fd);
}

static void expect_content(const struct disk *disk, const struct record *record)
{
    int fd = store_open_file(disk->store, OWNER, &record->handle, O_RDONLY);
    char bytes[SIZE + 1];

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), SIZE);
    assert_memory_equal(bytes, content(), SIZE);
    close(fd);
}

static bool is_there(const struct disk *disk, const struct record *record)
{
    int fd = store_open_file(disk->store, OWNER, &record->handle, O_RDONLY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

// Thousands of moves must not wait for a real disk.
static int quick_sync(int fd)
{
    (void)fd;
    return fails(SYNC) ? -fault_error : 0;
}

static void leave(struct scene *s)
{
    peer_detach(&s->d.f.peer, holders_find(&s->r->holders, &s->d.f.peer));
}

static void init(struct scene *s)
{
    two_disks_init(&s->d);
    s->d.f.ops.sync = quick_sync;
    assert_int_equal(create(&s->d.f, "moves", SIZE, &s->r), 0);
    assert_ptr_equal(s->r->disk, &s->d.f.disk);
    fill(&s->d.f.disk, s->r);
    leave(s);
}

static void deinit(struct scene *s)
{
    two_disks_deinit(&s->d);
}

static int move(struct scene *s, const char **ret_why)
{
    struct op op;
    int r;

    op_init(&op, &s->d.f.env, &op_move, s->r);
    op.to = &s->d.second;
    r = run_op(&s->d.f, &op);
    if (ret_why)
        *ret_why = op.why;
    return r;
}

// The region is on one of the disks, whole, charged once, and nothing is left on the other one.
static void expect_on(struct scene *s, struct disk *disk)
{
    struct disk *other = disk == &s->d.second ? &s->d.f.disk : &s->d.second;

    assert_ptr_equal(s->r->disk, disk);
    expect_content(disk, &s->r->record);
    assert_false(is_there(other, &s->r->record));
    assert_int_equal(charged(&s->d.f), CHARGED);
    assert_int_equal(quota_account_used(quota_total(s->d.f.quota), QUOTA_REGIONS), 1);
    assert_int_equal(disk->granted.used[QUOTA_BYTES], CHARGED);
    assert_int_equal(disk->granted.used[QUOTA_REGIONS], 1);
    assert_int_equal(other->granted.used[QUOTA_BYTES], 0);
    assert_int_equal(other->granted.used[QUOTA_REGIONS], 0);
}

static void a_region_moves_with_its_content_its_name_and_its_charge(void **state)
{
    struct scene s;

    (void)state;
    init(&s);
    assert_int_equal(move(&s, NULL), 0);
    expect_on(&s, &s.d.second);
    assert_ptr_equal(region_find_name(&s.d.f.regions, OWNER, "moves", 5), s.r);
    assert_int_equal(s.r->record.flags & (RECORD_INCOMING | RECORD_MOVED), 0);
    // It goes on there as before.
    assert_int_equal(resize(&s.d.f, s.r, 2 * SIZE), 0);
    assert_int_equal(resize(&s.d.f, s.r, SIZE), 0);
    expect_on(&s, &s.d.second);
    deinit(&s);
}

static void discarded_parts_stay_discarded(void **state)
{
    struct scene s;
    struct op op;

    (void)state;
    init(&s);
    if (!store_guarantee(s.d.second.store)->can_discard) {
        deinit(&s);
        skip();
    }
    op_init(&op, &s.d.f.env, &op_discard, s.r);
    op.offset = 10 * BLOCK;
    op.length = 20 * BLOCK;
    assert_int_equal(run_op(&s.d.f, &op), 0);
    assert_int_equal(move(&s, NULL), 0);
    assert_ptr_equal(s.r->disk, &s.d.second);
    assert_int_equal(s.r->discarded.sum, 20 * BLOCK);
    assert_int_equal(charged(&s.d.f), CHARGED - 20 * BLOCK);
    assert_true(s.r->record.flags & RECORD_HAS_HOLES);
    deinit(&s);
}

static void a_move_that_makes_no_sense_is_refused_with_a_sentence(void **state)
{
    struct scene s;
    const char *why;
    struct op op;
    int fd;

    (void)state;
    init(&s);
    assert_int_equal(peer_attach(&s.d.f.peer, s.r, false, HOLDER_IS_NEW), 0);
    assert_int_equal(move(&s, &why), -EBUSY);
    assert_non_null(strstr(why, "attached"));
    leave(&s);
    fd = store_open_file(s.d.f.disk.store, OWNER, &s.r->record.handle, O_RDONLY); // as a process that maps it
    assert_int_equal(move(&s, &why), -EBUSY);
    assert_non_null(strstr(why, "maps"));
    close(fd);
    s.r->n_readers++;
    assert_int_equal(move(&s, &why), -EBUSY);
    assert_non_null(strstr(why, "cloned"));
    s.r->n_readers--;
    s.d.second.problem = "it burns";
    assert_int_equal(move(&s, &why), -EIO);
    assert_string_equal(why, "it burns");
    s.d.second.problem = NULL;
    op_init(&op, &s.d.f.env, &op_move, s.r);
    op.to = &s.d.f.disk;
    assert_int_equal(run_op(&s.d.f, &op), -EEXIST);
    assert_non_null(strstr(op.why, "already"));
    expect_on(&s, &s.d.f.disk);
    op_init(&op, &s.d.f.env, &op_unlink, s.r);
    assert_int_equal(run_op(&s.d.f, &op), 0);
    assert_int_equal(move(&s, NULL), -ESTALE);
    deinit(&s);
}

static void an_anonymous_region_does_not_move(void **state)
{
    struct scene s;
    struct region *named, *r;
    const char *why;

    (void)state;
    init(&s);
    named = s.r;
    assert_int_equal(create(&s.d.f, "", BLOCK, &r), 0);
    s.r = r;
    assert_int_equal(move(&s, &why), -EINVAL);
    assert_non_null(strstr(why, "anonymous"));
    s.r = named;
    deinit(&s);
}

static void the_copy_is_charged_too_unless_an_administrator_moves_it(void **state)
{
    struct quota_limits limits = {.max = {CHARGED + BLOCK, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                  .region_bytes = QUOTA_UNLIMITED,
                                  .warn_bytes = QUOTA_UNLIMITED};
    struct scene s;
    struct op op;

    (void)state;
    init(&s);
    quota_account_set(quota_total(s.d.f.quota), "total", &limits);
    op_init(&op, &s.d.f.env, &op_move, s.r);
    op.to = &s.d.second;
    assert_int_equal(run_op(&s.d.f, &op), -EDQUOT);
    assert_string_equal(op.refusal.limit_name, "total bytes");
    assert_int_equal(op.refusal.used, CHARGED);
    assert_int_equal(op.refusal.asked, CHARGED);
    expect_on(&s, &s.d.f.disk);
    op_init(&op, &s.d.f.env, &op_move, s.r);
    op.to = &s.d.second;
    op.is_forced = true;
    assert_int_equal(run_op(&s.d.f, &op), 0);
    expect_on(&s, &s.d.second);
    deinit(&s);
}

// Those who wait for a limit have no claim against a move that no limit refuses.
static void the_move_of_an_administrator_is_not_held_back_by_those_who_wait(void **state)
{
    struct quota_limits limits = {.max = {CHARGED + BLOCK, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                  .region_bytes = QUOTA_UNLIMITED,
                                  .warn_bytes = QUOTA_UNLIMITED};
    bool granted = false;
    struct region *small;
    struct scene s;
    struct op op, waits;

    (void)state;
    init(&s);
    assert_int_equal(create(&s.d.f, "small", BLOCK, &small), 0);
    quota_account_set(quota_total(s.d.f.quota), "total", &limits);
    op_init(&waits, &s.d.f.env, &op_grow, small);
    waits.size = 2 * BLOCK;
    waits.wait_deadline = UINT64_MAX;
    waits.done = set_done;
    waits.owner = &granted;
    op_submit(&waits);
    assert_true(waits.is_waiting);
    waits.wait_since -= 2000; // long enough for a claim
    op_init(&op, &s.d.f.env, &op_move, s.r);
    op.to = &s.d.second;
    op.is_forced = true;
    assert_int_equal(run_op(&s.d.f, &op), 0);
    assert_ptr_equal(s.r->disk, &s.d.second);
    op_cancel(&waits);
    turn_until(&s.d.f, &granted);
    deinit(&s);
}

static void keep_free_of_the_other_disk_is_kept(void **state)
{
    struct scene s;
    struct op op;

    (void)state;
    init(&s);
    s.d.second.keep_free = UINT64_MAX;
    op_init(&op, &s.d.f.env, &op_move, s.r);
    op.to = &s.d.second;
    assert_int_equal(run_op(&s.d.f, &op), -ENOSPC);
    assert_string_equal(op.refusal.limit_name, "disk keep_free");
    expect_on(&s, &s.d.f.disk);
    deinit(&s);
}

// Each call of the two stores fails in turn, with all of its kind behind it.
static void whatever_fails_the_region_is_whole_on_one_disk(void **state)
{
    (void)state;
    FOR_EACH_FAULT(kind, error)
    {
        for (int nth = 1, more = 1; more; nth++) {
            struct scene s;
            int r;

            init(&s);
            inject(kind, nth, error);
            r = move(&s, NULL);
            more = n_faults > 0;
            inject(NO_FAULT, 0, 0);
            expect_content(s.r->disk, &s.r->record);
            assert_ptr_equal(s.r->disk, r == 0 ? &s.d.second : &s.d.f.disk);
            assert_int_equal(charged(&s.d.f), CHARGED);
            assert_int_equal(s.d.f.disk.granted.used[QUOTA_BYTES] + s.d.second.granted.used[QUOTA_BYTES], CHARGED);
            deinit(&s);
        }
    }
}

static void what_a_move_has_left_keeps_the_region_from_moving_back(void **state)
{
    struct scene s;
    struct op op;

    (void)state;
    init(&s);
    inject(UNLINK, 1, EIO);
    assert_int_equal(move(&s, NULL), 0);
    inject(NO_FAULT, 0, 0);
    assert_ptr_equal(s.r->disk, &s.d.second);
    op_init(&op, &s.d.f.env, &op_move, s.r);
    op.to = &s.d.f.disk;
    assert_int_equal(run_op(&s.d.f, &op), -EIO);
    assert_non_null(strstr(op.why, "earlier move"));
    assert_ptr_equal(s.r->disk, &s.d.second);
    expect_content(&s.d.second, &s.r->record);
    assert_int_equal(charged(&s.d.f), CHARGED);
    deinit(&s);
}

struct moving {
    struct op op;
    bool done;
};

static void begin(struct scene *s, struct moving *m)
{
    *m = (struct moving){0};
    op_init(&m->op, &s->d.f.env, &op_move, s->r);
    m->op.to = &s->d.second;
    m->op.done = set_done;
    m->op.owner = &m->done;
    op_submit(&m->op);
}

static void cancelled_before_it_has_come_too_far_it_stays(void **state)
{
    struct scene s;
    struct moving c;

    (void)state;
    init(&s);
    begin(&s, &c);
    op_cancel(&c.op);
    turn_until(&s.d.f, &c.done);
    if (c.op.result == 0)
        expect_on(&s, &s.d.second);
    else {
        assert_int_equal(c.op.result, -ECANCELED);
        expect_on(&s, &s.d.f.disk);
    }
    deinit(&s);
}

static void what_waits_behind_a_move_finds_the_region_on_its_new_disk(void **state)
{
    struct scene s;
    struct moving c;
    struct op op;

    (void)state;
    init(&s);
    begin(&s, &c);
    op_init(&op, &s.d.f.env, &op_open, s.r);
    assert_int_equal(run_op(&s.d.f, &op), 0);
    assert_true(c.done);
    assert_int_equal(c.op.result, 0);
    expect_on(&s, &s.d.second);
    deinit(&s);
}

static sem_t begun, go;

static int slow_sync(int fd)
{
    (void)fd;
    sem_post(&begun);
    while (sem_wait(&go) < 0)
        assert_int_equal(errno, EINTR);
    return 0;
}

// Of the directory of all users, the new file, the former file, and the new file again, with the user's directories.
enum { N_SYNCS = 1 + 3 * 2 };

static void what_waits_behind_a_move_waits_for_the_disks_however_slow(void **state)
{
    struct scene s;
    struct moving c;
    bool grown = false;
    struct op grow;

    (void)state;
    init(&s);
    assert_int_equal(sem_init(&begun, 0, 0), 0);
    assert_int_equal(sem_init(&go, 0, 0), 0);
    s.d.f.ops.sync = slow_sync;
    begin(&s, &c);
    op_init(&grow, &s.d.f.env, &op_grow, s.r);
    grow.size = 2 * SIZE;
    grow.done = set_done;
    grow.owner = &grown;
    op_submit(&grow);
    for (int i = 0; i < N_SYNCS; i++) {
        while (sem_wait(&begun) < 0)
            assert_int_equal(errno, EINTR);
        op_end_stuck(&s.d.f.env, &s.d.second, clock_now() + 10UL * 60 * 1000);
        op_end_stuck(&s.d.f.env, &s.d.f.disk, clock_now() + 10UL * 60 * 1000);
        assert_false(grown || c.op.cancelled || s.r->stuck_told);
        sem_post(&go);
    }
    turn_until(&s.d.f, &grown);
    assert_int_equal(c.op.result, 0);
    assert_int_equal(grow.result, 0);
    assert_ptr_equal(s.r->disk, &s.d.second);
    sem_destroy(&begun);
    sem_destroy(&go);
    deinit(&s);
}

// ---- A daemon that was killed ----

// 0: on the first disk; 1: on the second one.
static int expect_one_whole_region(struct scene *s)
{
    struct successor n;
    struct region *r;
    int at;

    successor_start(&n, &s->d, true, true);
    assert_int_equal(n.d.regions.n_regions, 1);
    r = region_next(&n.d.regions, NULL);
    assert_string_equal(r->record.name, "moves");
    assert_int_equal(r->size, SIZE);
    assert_int_equal(r->record.flags & (RECORD_INCOMING | RECORD_MOVED), 0);
    assert_int_equal(quota_account_used(quota_total(n.d.quota), QUOTA_BYTES), CHARGED);
    at = r->disk == &n.disks[1]->disk;
    expect_content(r->disk, &r->record);
    assert_false(is_there(&n.disks[!at]->disk, &r->record));
    assert_int_equal(n.disks[at]->disk.granted.used[QUOTA_BYTES], CHARGED);
    assert_int_equal(n.disks[!at]->disk.granted.used[QUOTA_BYTES], 0);
    assert_null(n.d.halves);
    successor_end(&n);
    return at;
}

// From the Nth call on nothing reaches the disks any more.  True: there was no Nth call.
static bool move_until_killed(struct scene *s, int nth)
{
    bool ended;

    inject(EVERY, nth, EIO);
    move(s, NULL);
    ended = n_faults == 0;
    inject(NO_FAULT, 0, 0);
    return ended;
}

static void a_daemon_killed_at_any_moment_leaves_exactly_one_whole_region(void **state)
{
    int n_first = 0, n_second = 0;

    (void)state;
    for (int nth = 1;; nth++) {
        struct scene s;
        bool ended;

        init(&s);
        ended = move_until_killed(&s, nth);
        if (expect_one_whole_region(&s))
            n_second++;
        else
            n_first++;
        deinit(&s);
        if (ended)
            break;
    }
    // The kills came before and after the region had moved.
    assert_true(n_first > 4);
    assert_true(n_second > 2);
}

// The successor has one of the disks only, and the one behind it both.
static void a_half_without_the_other_disk_is_left_alone_until_that_is_back(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        struct scene s;
        struct successor n;
        bool ended;
        uint64_t found = 0;

        init(&s);
        ended = move_until_killed(&s, nth);
        for (int i = 0; i < 2; i++) {
            successor_start(&n, &s.d, i == 0, i == 1);
            found += n.d.regions.n_regions;
            successor_end(&n);
        }
        assert_true(found <= 1);
        expect_one_whole_region(&s);
        deinit(&s);
        if (ended)
            break;
    }
}

// ---- A disk that goes ----

static ino_t inode_going; // of the former file; its disk fails for ever when that is to be written out
static bool has_gone;

static bool is_going(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_ino == inode_going;
}

static int last_sync(int fd)
{
    has_gone |= is_going(fd);
    return is_going(fd) ? -EIO : 0;
}

static int last_set_xattr(int fd, const char *name, const void *value, size_t size)
{
    return has_gone && is_going(fd) ? -EIO : file_ops_system.set_xattr(fd, name, value, size);
}

static void write_record(const struct disk *disk, const struct record *record)
{
    int fd = store_open_file(disk->store, OWNER, &record->handle, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(store_write_record(disk->store, fd, record), 0);
    close(fd);
}

static void what_is_stored_after_the_former_disk_has_gone_is_not_removed_when_it_is_back(void **state)
{
    struct record before;
    struct successor n;
    struct scene s;

    (void)state;
    init(&s);
    record_copy(&before, &s.r->record);
    inode_going = inode_of_region(s.r);
    has_gone = false;
    s.d.f.ops.sync = last_sync;
    s.d.f.ops.set_xattr = last_set_xattr;
    assert_int_equal(move(&s, NULL), 0);
    assert_true(has_gone);
    assert_ptr_equal(s.r->disk, &s.d.second);
    assert_int_equal(s.r->record.flags & (RECORD_INCOMING | RECORD_MOVED), 0);
    assert_int_equal(resize(&s.d.f, s.r, 2 * SIZE), 0);
    s.d.f.ops.sync = quick_sync;
    s.d.f.ops.set_xattr = file_ops_system.set_xattr;
    write_record(&s.d.f.disk, &before); // the other one never reached the disk
    successor_start(&n, &s.d, true, true);
    assert_int_equal(n.d.regions.n_regions, 1);
    assert_true(is_there(&s.d.second, &s.r->record));
    successor_end(&n);
    successor_start(&n, &s.d, false, true);
    assert_int_equal(n.d.regions.n_regions, 1);
    assert_int_equal(region_next(&n.d.regions, NULL)->size, 2 * SIZE);
    successor_end(&n);
    deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_moves_with_its_content_its_name_and_its_charge),
        TEST(discarded_parts_stay_discarded),
        TEST(a_move_that_makes_no_sense_is_refused_with_a_sentence),
        TEST(an_anonymous_region_does_not_move),
        TEST(the_copy_is_charged_too_unless_an_administrator_moves_it),
        TEST(the_move_of_an_administrator_is_not_held_back_by_those_who_wait),
        TEST(keep_free_of_the_other_disk_is_kept),
        TEST(whatever_fails_the_region_is_whole_on_one_disk),
        TEST(what_a_move_has_left_keeps_the_region_from_moving_back),
        TEST(cancelled_before_it_has_come_too_far_it_stays),
        TEST(what_waits_behind_a_move_finds_the_region_on_its_new_disk),
        TEST(what_waits_behind_a_move_waits_for_the_disks_however_slow),
        TEST(a_daemon_killed_at_any_moment_leaves_exactly_one_whole_region),
        TEST(a_half_without_the_other_disk_is_left_alone_until_that_is_back),
        TEST(what_is_stored_after_the_former_disk_has_gone_is_not_removed_when_it_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
