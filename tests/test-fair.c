// Fair shares: long operations go in pieces and let others in between, one user's requests do not keep others waiting, a hung disk
// does not keep anybody out, and who waits for a limit may go on asking.
#include <semaphore.h>

#include "tests/ice.h"
#include "tests/op_fixture.h"
#include "tests/quota_case.h"

#define GIB ((uint64_t)1 << 30)
#define LARGE (512 * GIB)

// The disk of 512 GiB that nobody has: blocks are granted by saying so.  The first piece of a long operation waits at the gate,
// until the test has queued what shall come in between.
static struct {
    _Atomic bool armed;
    sem_t reached, open;
    _Atomic uint64_t n_allocated, n_punched, n_truncated, largest, size;
    _Atomic int fail_at; // the nth allocation
} seam;

static void pass_the_gate(void)
{
    if (!atomic_exchange(&seam.armed, false))
        return;
    sem_post(&seam.reached);
    sem_wait(&seam.open);
}

static void note(uint64_t piece)
{
    if (piece > seam.largest)
        seam.largest = piece;
}

static int said_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    (void)fd;
    (void)offset;
    pass_the_gate();
    note(length);
    *(mode & FALLOC_FL_PUNCH_HOLE ? &seam.n_punched : &seam.n_allocated) += 1;
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && seam.fail_at > 0 && --seam.fail_at == 0)
        return -ENOSPC;
    return 0;
}

static int noted_truncate(int fd, uint64_t size)
{
    struct stat st;

    pass_the_gate();
    if (fstat(fd, &st) == 0 && size < (uint64_t)st.st_size) {
        note((uint64_t)st.st_size - size);
        seam.n_truncated++;
    }
    return file_ops_system.truncate(fd, size);
}

static int ample_stat_fs(int fd, struct statvfs *ret)
{
    (void)fd;
    *ret =
        (struct statvfs){.f_frsize = 4096, .f_blocks = LARGE / 1024, .f_bfree = LARGE / 1024, .f_bavail = LARGE / 1024};
    return 0;
}

// With one worker: what comes in between comes in between pieces.
static void begin(struct fixture *f, struct region **large, struct region **small)
{
    fixture_init(f);
    assert_true(worker_pool_stop(f->env.pool, 10000));
    worker_pool_free(f->env.pool);
    assert_int_equal(worker_pool_new(f->base, 1, &f->env.pool), 0);
    memset(&seam, 0, sizeof seam);
    sem_init(&seam.reached, 0, 0);
    sem_init(&seam.open, 0, 0);
    f->ops.allocate = said_allocate;
    f->ops.truncate = noted_truncate;
    f->ops.stat_fs = ample_stat_fs;
    assert_int_equal(create(f, "large", 4096, large), 0);
    assert_int_equal(create(f, "small", 4096, small), 0);
}

static void forget_counts(void)
{
    seam.n_allocated = seam.n_punched = seam.n_truncated = seam.largest = 0;
}

struct job {
    struct op op;
    bool done;
    int order, *clock;
};

static void job_done(struct op *op)
{
    struct job *job = op->owner;

    job->done = true;
    job->order = ++*job->clock;
    if (op->fd >= 0)
        close(op->fd);
}

static void job_submit(struct job *job)
{
    job->op.done = job_done;
    job->op.owner = job;
    op_submit(&job->op);
}

// LARGE's operation is at its first piece when a commit of SMALL, of the same user, is queued: which is done first.
static int run_beside_another(struct fixture *f, struct job *large, struct region *small)
{
    struct job other = {0};
    int clock = 0;

    forget_counts();
    large->clock = other.clock = &clock;
    seam.armed = true;
    job_submit(large);
    sem_wait(&seam.reached);
    op_init(&other.op, &f->env, &op_commit, small);
    job_submit(&other);
    sem_post(&seam.open);
    turn_until(f, &large->done);
    turn_until(f, &other.done);
    assert_int_equal(other.op.result, 0);
    assert_true(other.order < large->order);
    return large->op.result;
}

static void init_resize(struct fixture *f, struct job *job, struct region *r, uint64_t size)
{
    *job = (struct job){0};
    op_init(&job->op, &f->env, size > r->size ? &op_grow : &op_shrink, r);
    job->op.size = size;
    job->op.known_size = r->size;
}

static void init_range(struct fixture *f, struct job *job, const struct op_type *type, struct region *r,
                       uint64_t offset, uint64_t length)
{
    *job = (struct job){0};
    op_init(&job->op, &f->env, type, r);
    job->op.offset = offset;
    job->op.length = length;
}

static void growing_and_shrinking_by_512_gib_go_in_pieces_between_which_others_work(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct job job;

    (void)state;
    begin(&f, &large, &small);
    init_resize(&f, &job, large, LARGE);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_int_equal(seam.n_allocated, LARGE / GIB);
    assert_int_equal(seam.largest, GIB);
    init_resize(&f, &job, large, 0);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_int_equal(seam.n_truncated, LARGE / GIB);
    assert_int_equal(seam.largest, GIB);
    expect_consistent(&f, 4096, 2);
    fixture_deinit(&f);
}

static void discarding_and_restoring_500_gib_go_in_pieces_between_which_others_work(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct job job;

    (void)state;
    begin(&f, &large, &small);
    if (!store_guarantee(f.env.store)->can_discard) {
        fixture_deinit(&f);
        skip();
        return;
    }
    assert_int_equal(resize(&f, large, LARGE), 0);
    init_range(&f, &job, &op_discard, large, 3 * 4096, 500 * GIB);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_in_range(seam.n_punched, 500, 501);
    assert_int_equal(seam.largest, GIB);
    assert_int_equal(charged(&f), 12 * GIB + 4096);
    init_range(&f, &job, &op_restore, large, 3 * 4096, 500 * GIB);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_int_equal(seam.largest, GIB);
    assert_int_equal(charged(&f), LARGE + 4096);
    fixture_deinit(&f);
}

static void removing_512_gib_goes_in_pieces_between_which_others_work(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct job job = {0};

    (void)state;
    begin(&f, &small, &small);
    assert_int_equal(create(&f, "", LARGE, &large), 0);
    peer_detach(&f.peer, region_attachment(large, &f.peer));
    op_init(&job.op, &f.env, &op_reap, large);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_in_range(seam.n_truncated, LARGE / GIB - 1, LARGE / GIB);
    assert_int_equal(seam.largest, GIB);
    fixture_deinit(&f);
}

// Its client has died: what was granted is given back, in pieces too.
static void a_grow_that_is_given_up_on_the_way_is_undone(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct stat st;
    struct job job;
    int clock = 0, fd;

    (void)state;
    begin(&f, &large, &small);
    init_resize(&f, &job, large, LARGE);
    job.clock = &clock;
    seam.armed = true;
    forget_counts();
    job_submit(&job);
    sem_wait(&seam.reached);
    op_cancel(&job.op);
    sem_post(&seam.open);
    turn_until(&f, &job.done);
    assert_int_equal(job.op.result, -ECANCELED);
    assert_int_equal(seam.n_allocated, 1);
    expect_consistent(&f, 2 * 4096, 2);
    // One that has come far when the disk is full.
    init_resize(&f, &job, large, LARGE);
    seam.fail_at = 100;
    assert_int_equal(run_beside_another(&f, &job, small), -ENOSPC);
    assert_int_equal(seam.n_allocated, 100);
    assert_int_equal(seam.largest, GIB);
    assert_int_equal(seam.n_truncated, 99);
    expect_consistent(&f, 2 * 4096, 2);
    fd = store_open_file(f.env.store, OWNER, &large->record.handle, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4096);
    close(fd);
    fixture_deinit(&f);
}

// ---- A whole daemon ----

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nregions = 1000\nconnections = 1000\n"
                             "[quota total]\nbytes = 64M\n";

static void start_grows(struct raw *c, const char *path, uid_t uid, struct raw_handle *handles, size_t n)
{
    assert_int_equal(raw_open_as(c, path, uid), RAW_CODE(OK));
    for (size_t i = 0; i < n; i++) {
        handles[i] = raw_handle_new();
        assert_int_equal(raw_create(c, &handles[i], 0), RAW_CODE(OK));
    }
}

static bool many_threads_hang(void *data)
{
    const struct test_daemon *d = data;
    char command[200];

    snprintf(command, sizeof command, "test $(cat /proc/%d/task/*/stat 2>/dev/null | grep -c ') D ') -ge 8",
             (int)d->pid);
    return system(command) == 0;
}

static void two_users_on_a_hung_disk_keep_no_third_one_out(void **state)
{
    enum { EACH = 12 };
    struct raw_handle handles[2][EACH];
    struct test_daemon d;
    struct raw users[2], third = {.sock = -1};
    struct ice ice;

    (void)state;
    if (geteuid() != 0 || !ice_prepare(&ice, 128 * MIB)) {
        skip();
        return;
    }
    test_daemon_start(&d, config, ice.mount.at);
    for (int u = 0; u < 2; u++)
        start_grows(&users[u], d.socket, 4242 + (uid_t)u, handles[u], EACH);
    ice_freeze(&ice);
    for (int u = 0; u < 2; u++)
        for (int i = 0; i < EACH; i++)
            assert_int_not_equal(raw_send_grow(&users[u], &handles[u][i], 4096, 0), 0);
    test_wait_until(many_threads_hang, &d, 60, "all workers hang");
    assert_int_equal(raw_open_as(&third, d.socket, 5555), RAW_CODE(OK));
    raw_close(&third);
    ice_thaw(&ice);
    for (int u = 0; u < 2; u++) {
        for (int i = 0; i < EACH; i++) {
            RawReply *reply = raw_answer(&users[u]);

            assert_int_equal(raw_code(reply), RAW_CODE(OK));
            raw_free(reply);
        }
        raw_close(&users[u]);
    }
    test_daemon_stop_and_remove(&d);
    ice_end(&ice);
}

static bool has_stopped(void *data)
{
    const struct test_daemon *d = data;
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)d->pid, &info, WSTOPPED | WNOWAIT | WNOHANG) == 0 && info.si_pid == d->pid;
}

static void send_usage_request(struct raw *c)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text("total");
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    assert_int_not_equal(raw_send(c, &q), 0);
}

// The one user has a thousand packets waiting when the other sends one: how many of the former were served first is seen from
// what they say of the total.
static void who_has_fifty_connections_is_not_served_before_who_has_one(void **state)
{
    enum { CROWD = 50, PACKETS = 20 };
    struct raw crowd[CROWD], one = {.sock = -1};
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    int n_before = 0;

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    test_daemon_start(&d, config, NULL);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(raw_open(&crowd[i], d.socket), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&one, d.socket, 4242), RAW_CODE(OK));
    assert_int_equal(raw_create(&one, &h, 0), RAW_CODE(OK));
    assert_return_code(kill(d.pid, SIGSTOP), errno);
    test_wait_until(has_stopped, &d, 60, "the daemon has stopped");
    for (int i = 0; i < CROWD; i++)
        for (int k = 0; k < PACKETS; k++)
            send_usage_request(&crowd[i]);
    assert_int_not_equal(raw_send_grow(&one, &h, 4096, 0), 0);
    assert_return_code(kill(d.pid, SIGCONT), errno);
    for (int i = 0; i < CROWD; i++)
        for (int k = 0; k < PACKETS; k++) {
            RawReply *reply = raw_answer(&crowd[i]);

            assert_int_equal(raw_code(reply), RAW_CODE(OK));
            n_before += reply->usage->bytes == 0;
            raw_free(reply);
        }
    // Two turns of the loop at most, until it has seen them all.
    assert_in_range(n_before, 0, 100);
    for (int i = 0; i < CROWD; i++)
        raw_close(&crowd[i]);
    raw_close(&one);
    test_daemon_stop_and_remove(&d);
}

static void who_waits_for_a_limit_may_go_on_asking(void **state)
{
    enum { WAITING = 200 };
    struct raw_handle h = raw_handle_new(), full = raw_handle_new();
    struct test_daemon d;
    struct raw c;
    uint64_t id;

    (void)state;
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, 0), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &full, 60 * MIB), RAW_CODE(OK));
    for (unsigned i = 0; i < WAITING; i++)
        assert_int_not_equal(raw_send_grow(&c, &h, 5 * MIB + i, UINT64_MAX), 0);
    assert_int_equal(USAGE_OF(&c, "total", waiters), WAITING);
    id = raw_send_cancel(&c, c.last_id - 1); // the last of them
    for (int i = 0; i < 2; i++) {
        RawReply *reply = raw_answer(&c);

        assert_int_equal(raw_code(reply), reply->id == id ? RAW_CODE(OK) : RAW_CODE(CANCELLED));
        raw_free(reply);
    }
    assert_int_equal(USAGE_OF(&c, "total", waiters), WAITING - 1);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(growing_and_shrinking_by_512_gib_go_in_pieces_between_which_others_work),
        TEST(discarding_and_restoring_500_gib_go_in_pieces_between_which_others_work),
        TEST(removing_512_gib_goes_in_pieces_between_which_others_work),
        TEST(a_grow_that_is_given_up_on_the_way_is_undone),
        TEST(two_users_on_a_hung_disk_keep_no_third_one_out),
        TEST(who_has_fifty_connections_is_not_served_before_who_has_one),
        TEST(who_waits_for_a_limit_may_go_on_asking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
