// DISKALLOC_REGION_SOLE_WRITER: at most one writer, whatever happens to its connection and to the daemon.  With a
// daemon and embedded.
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
    SOLE = DISKALLOC_REGION_SOLE_WRITER,
    CREATE = DISKALLOC_REGION_CREATE,
    READ_ONLY = DISKALLOC_REGION_READ_ONLY,
};

DISKALLOC_VEC_DEFINE(u64vec, uint64_t)

// Opens as another client of the same directory or daemon, and returns what that client got.
static int open_elsewhere(struct test_backend *b, const char *name, uint32_t flags, bool by_handle)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da;
    int code;

    assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
    o.flags = flags;
    code = by_handle ? diskalloc_region_attach(da, name, &o, &r) : diskalloc_region_open(da, name, &o, &r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    return code;
}

struct elsewhere {
    struct test_backend *b;
    const char *name;
    uint32_t flags;
    bool by_handle;
};

static void open_and_exit(void *data)
{
    const struct elsewhere *e = data;

    _exit(-open_elsewhere(e->b, e->name, e->flags, e->by_handle));
}

// The same from another process, which maps nothing yet.
static int open_in_process(struct test_backend *b, const char *name, uint32_t flags, bool by_handle)
{
    struct elsewhere e = {b, name, flags, by_handle};
    int status = test_in_child(open_and_exit, &e, (uid_t)-1);

    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void expect_others_kept_out(struct test_backend *b, const char *name, uint32_t flags, bool by_handle)
{
    assert_int_equal(open_elsewhere(b, name, flags, by_handle), -EBUSY);
    assert_int_equal(open_elsewhere(b, name, flags | SOLE, by_handle), -EBUSY);
    assert_int_equal(open_in_process(b, name, flags, by_handle), -EBUSY);
    assert_int_equal(open_elsewhere(b, name, READ_ONLY, by_handle), 0);
    assert_int_equal(open_in_process(b, name, READ_ONLY, by_handle), 0);
}

static void a_sole_writer_keeps_writers_out_and_readers_not(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *second = NULL;

    assert_int_equal(open_named(b->da, "one", 4096, CREATE | SOLE, &r), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_open", open_named(b->da, "one", 0, 0, &second));
    assert_non_null(strstr(diskalloc_last_error(), "sole writer"));
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_open", open_named(b->da, "one", 0, SOLE, &second));
    assert_null(second);
    expect_others_kept_out(b, "one", 0, false);
    expect_others_kept_out(b, diskalloc_region_handle(r), 0, true);
    assert_int_equal(diskalloc_region_resize(r, 3 * MIB), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_in_process(b, "one", SOLE, false), 0);
    assert_int_equal(open_in_process(b, "one", 0, false), 0);
    assert_int_equal(open_elsewhere(b, "one", 0, false), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, "one"), 0);
}

static void nobody_becomes_a_sole_writer_while_others_write(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *reader = NULL, *sole = NULL;

    assert_int_equal(open_named(b->da, "two", 4096, CREATE, &r), 0);
    assert_int_equal(open_elsewhere(b, "two", SOLE, false), -EBUSY);
    assert_int_equal(open_in_process(b, "two", SOLE, false), -EBUSY);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_open", open_named(b->da, "two", 0, SOLE, &sole));
    assert_int_equal(open_in_process(b, "two", 0, false), 0);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "two", 0, READ_ONLY, &reader), 0);
    assert_int_equal(open_in_process(b, "two", SOLE, false), 0);
    assert_int_equal(open_named(b->da, "two", 0, SOLE, &sole), 0);
    assert_int_equal(open_in_process(b, "two", 0, false), -EBUSY);
    // The reader of the same client stays, and keeps no writer out.
    diskalloc_region_close(sole);
    assert_int_equal(open_in_process(b, "two", 0, false), 0);
    assert_int_equal(open_in_process(b, "two", SOLE, false), 0);
    diskalloc_region_close(reader);
    assert_int_equal(diskalloc_region_unlink(b->da, "two"), 0);
}

static void flags_that_contradict_each_other_are_refused(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;

    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, "three", 0, CREATE | SOLE | READ_ONLY, &r));
    o.flags = SOLE;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_create", diskalloc_region_create(b->da, &o, &r));
    assert_null(r);
}

static void open_and_die(void *data)
{
    struct test_backend *b = data;
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, "killed", 4096, CREATE | SOLE, &r), 0);
    raise(SIGKILL);
}

static void a_sole_writer_that_was_killed_keeps_nobody_out(struct test_backend *b)
{
    assert_true(WIFSIGNALED(test_in_child(open_and_die, b, (uid_t)-1)));
    assert_int_equal(open_in_process(b, "killed", 0, false), 0);
    assert_true(WIFSIGNALED(test_in_child(open_and_die, b, (uid_t)-1)));
    assert_int_equal(open_in_process(b, "killed", SOLE, false), 0);
    assert_int_equal(diskalloc_region_unlink(b->da, "killed"), 0);
}

static void two_vectors_of_one_name_do_not_replace_each_other(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct u64vec v, w;

    o.flags = CREATE | SOLE;
    assert_int_equal(u64vec_open(&v, b->da, "vector", &o), 0);
    assert_int_equal(u64vec_push(&v, 42), 0);
    EXPECT_FAILURE(-EBUSY, "u64vec_open", u64vec_open(&w, b->da, "vector", &o));
    EXPECT_FAILURE(-EBUSY, "u64vec_open", u64vec_open(&w, b->da, "vector", NULL));
    u64vec_deinit(&v);
    assert_int_equal(u64vec_open(&w, b->da, "vector", &o), 0);
    assert_int_equal(w.len, 1);
    assert_int_equal(w.data[0], 42);
    u64vec_deinit(&w);
    assert_int_equal(diskalloc_region_unlink(b->da, "vector"), 0);
}

// Shuts this process's connections down, as a lost network does: the client finds out at its next request.
static void lose_connections(void)
{
    DIR *d = opendir("/proc/self/fd");

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        int fd = atoi(e->d_name), type = 0;
        socklen_t n = sizeof type;

        if (e->d_name[0] != '.' && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET)
            shutdown(fd, SHUT_RDWR);
    }
    closedir(d);
}

static void a_lost_connection_and_a_restart_let_nobody_in(void **state)
{
    struct diskalloc_region *r = NULL, *second = NULL;
    struct diskalloc *other;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(open_named(b.da, "kept", 4096, CREATE | SOLE, &r), 0);
    for (int round = 0; round < 2; round++) {
        if (round == 0) {
            lose_connections();
        } else {
            test_daemon_kill(&b.daemon, SIGKILL);
            test_daemon_restart(&b.daemon);
        }
        // The writer has not come back yet.
        assert_int_equal(diskalloc_open(b.address, NULL, &other), 0);
        assert_int_equal(open_named(other, "kept", 0, 0, &second), -EBUSY);
        assert_int_equal(open_named(other, "kept", 0, SOLE, &second), -EBUSY);
        assert_int_equal(open_named(other, "kept", 0, READ_ONLY, &second), 0);
        diskalloc_region_close(second);
        // The writer is back.
        assert_int_equal(diskalloc_region_resize(r, 8192), 0);
        assert_int_equal(diskalloc_region_commit(r, 16, 8, 0), 0);
        assert_int_equal(open_named(other, "kept", 0, 0, &second), -EBUSY);
        assert_int_equal(open_named(other, "kept", 0, SOLE, &second), -EBUSY);
        diskalloc_close(other);
    }
    diskalloc_region_close(r);
    assert_int_equal(open_in_process(&b, "kept", SOLE, false), 0);
    assert_int_equal(open_in_process(&b, "kept", 0, false), 0);
    assert_int_equal(diskalloc_region_unlink(b.da, "kept"), 0);
    backend_stop(&b);
}

// The sole writer's flag of the record must not outlive the writer.
static void after_a_restart_without_the_writer_others_may_write(void **state)
{
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_true(WIFSIGNALED(test_in_child(open_and_die, &b, (uid_t)-1)));
    test_daemon_kill(&b.daemon, SIGKILL);
    test_daemon_restart(&b.daemon);
    assert_int_equal(open_in_process(&b, "killed", 0, false), 0);
    assert_int_equal(diskalloc_region_unlink(b.da, "killed"), 0);
    backend_stop(&b);
}

// A program that closes all descriptors: the region's file is opened again, with the lock of a sole writer.
static void a_descriptor_that_the_program_closed_takes_no_lock_with_it(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    assert_int_equal(open_named(b.da, "closed", 4096, CREATE | SOLE, &r), 0);
    close(diskalloc_region_fd(r));
    assert_int_equal(open_in_process(&b, "closed", 0, false), -EBUSY);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    assert_int_equal(diskalloc_region_resize(r, 2 * MIB), 0);
    assert_int_equal(open_in_process(&b, "closed", 0, false), -EBUSY);
    assert_int_equal(open_in_process(&b, "closed", READ_ONLY, false), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_in_process(&b, "closed", SOLE, false), 0);
    assert_int_equal(diskalloc_region_unlink(b.da, "closed"), 0);
    backend_stop(&b);
}

// raw_done closes the descriptor: only the attachment tells the daemon of this client.
static int raw_open_named(struct raw *c, const char *name, uint32_t flags)
{
    Diskalloc__V1__OpenRegion m = DISKALLOC__V1__OPEN_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct raw_handle h = raw_handle_new();

    m.name = raw_text(name);
    m.handle = raw_bytes(&h);
    m.mode = 0600;
    m.flags = flags;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &m;
    return raw_done(c, &q);
}

static void an_attachment_without_a_mapping_counts(void **state)
{
    struct test_backend b;
    struct raw c, d;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(raw_open(&c, b.daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_open(&d, b.daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_open_named(&c, "raw", CREATE | SOLE), RAW_CODE(OK));
    assert_int_equal(raw_open_named(&c, "raw", SOLE), RAW_CODE(OK)); // may be repeated
    assert_int_equal(raw_open_named(&d, "raw", 0), RAW_CODE(BUSY));
    assert_int_equal(raw_open_named(&d, "raw", SOLE), RAW_CODE(BUSY));
    assert_int_equal(raw_open_named(&d, "raw", SOLE | READ_ONLY), RAW_CODE(INVALID));
    assert_int_equal(raw_open_named(&d, "raw", 64), RAW_CODE(UNSUPPORTED));
    assert_int_equal(raw_open_named(&d, "raw", READ_ONLY), RAW_CODE(OK));
    raw_close(&c);
    assert_int_equal(raw_open_named(&d, "raw", SOLE), RAW_CODE(OK));
    raw_close(&d);
    assert_int_equal(diskalloc_region_unlink(b.da, "raw"), 0);
    backend_stop(&b);
}

struct lie {
    const char *socket;
    struct raw_handle handle;
    bool has_read; // has attached the region for reading before
};

static int raw_attach(struct raw *c, const struct raw_handle *h, uint32_t flags, bool held)
{
    Diskalloc__V1__AttachRegion m = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    m.handle = raw_bytes(h);
    m.flags = flags;
    m.held = held;
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &m;
    return raw_done(c, &q);
}

// Another process, which says that it maps the region and is its sole writer.
static void say_to_be_the_writer(void *data)
{
    const struct lie *lie = data;
    struct raw c, earlier;

    if (lie->has_read) {
        NEED(raw_open(&earlier, lie->socket) == RAW_CODE(OK));
        NEED(raw_attach(&earlier, &lie->handle, READ_ONLY, false) == RAW_CODE(OK));
    }
    NEED(raw_open_with(&c, lie->socket, DISKALLOC__V1__FEATURE__FEATURE_HELD) == RAW_CODE(OK));
    NEED(raw_attach(&c, &lie->handle, SOLE, true) == RAW_CODE(BUSY));
}

static void who_lies_about_having_been_the_writer_is_kept_out(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_backend b;
    struct lie lie;

    (void)state;
    if (getenv("DISKALLOC_TEST_FENCE"))
        skip(); // descriptors of the passthrough fence have no marks that a later daemon could find
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(open_named(b.da, "mine", 4096, CREATE | SOLE, &r), 0);
    lie = (struct lie){.socket = b.daemon.socket};
    lie.handle = raw_handle_of(diskalloc_region_handle(r));
    for (int i = 0; i < 2; i++) {
        test_daemon_kill(&b.daemon, SIGKILL);
        test_daemon_restart(&b.daemon);
        lie.has_read = i == 1;
        assert_int_equal(test_in_child(say_to_be_the_writer, &lie, (uid_t)-1), 0);
        assert_int_equal(diskalloc_region_resize(r, 8192 + 4096 * (uint64_t)i), 0); // it was the writer, and is
    }
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b.da, "mine"), 0);
    backend_stop(&b);
}

// Called once, when the library has found the file of a region and has no lock on it yet.
static void (*before_the_locks)(struct test_backend *b);
static struct test_backend *locking;

int __real_local_lock_attach(int fd);
int __wrap_local_lock_attach(int fd);
int __wrap_local_lock_attach(int fd)
{
    void (*call)(struct test_backend * b) = before_the_locks;

    before_the_locks = NULL;
    if (call)
        call(locking);
    return __real_local_lock_attach(fd);
}

static void fill_and_commit(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc *da;
    struct u64vec v;

    assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
    o.flags = CREATE | SOLE;
    assert_int_equal(u64vec_open(&v, da, "late", &o), 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    u64vec_deinit(&v);
    diskalloc_close(da);
}

// Between the reading of the region's record and the lock, another writer comes, commits, and goes.
static void a_writer_sees_what_was_committed_before_it_had_its_lock(void **state)
{
    static const uint32_t flags[] = {CREATE | SOLE, CREATE};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
        struct test_backend b;
        struct u64vec v;

        backend_start(&b, false, NULL, NULL);
        o.flags = CREATE;
        assert_int_equal(u64vec_open(&v, b.da, "late", &o), 0);
        u64vec_deinit(&v);
        locking = &b;
        before_the_locks = fill_and_commit;
        o.flags = flags[i];
        assert_int_equal(u64vec_open(&v, b.da, "late", &o), 0);
        assert_null(before_the_locks);
        assert_int_equal(v.len, 1000);
        assert_int_equal(v.data[999], 999);
        u64vec_deinit(&v);
        assert_int_equal(diskalloc_region_unlink(b.da, "late"), 0);
        backend_stop(&b);
    }
}

FOR_EACH_BACKEND(a_sole_writer_keeps_writers_out_and_readers_not)
FOR_EACH_BACKEND(nobody_becomes_a_sole_writer_while_others_write)
FOR_EACH_BACKEND(flags_that_contradict_each_other_are_refused)
FOR_EACH_BACKEND(a_sole_writer_that_was_killed_keeps_nobody_out)
FOR_EACH_BACKEND(two_vectors_of_one_name_do_not_replace_each_other)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_sole_writer_keeps_writers_out_and_readers_not),
        EACH_BACKEND(nobody_becomes_a_sole_writer_while_others_write),
        EACH_BACKEND(flags_that_contradict_each_other_are_refused),
        EACH_BACKEND(a_sole_writer_that_was_killed_keeps_nobody_out),
        EACH_BACKEND(two_vectors_of_one_name_do_not_replace_each_other),
        TEST(a_writer_sees_what_was_committed_before_it_had_its_lock),
        TEST(an_attachment_without_a_mapping_counts),
        TEST(a_lost_connection_and_a_restart_let_nobody_in),
        TEST(who_lies_about_having_been_the_writer_is_kept_out),
        TEST(after_a_restart_without_the_writer_others_may_write),
        TEST(a_descriptor_that_the_program_closed_takes_no_lock_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
