// The power fails after a daemon was killed in a move, while its successor puts the halves together, or after that:
// nothing that was done rests on something that is not on the disk yet.
//
// All calls that change the files are watched.  A record is on the disk when its file was synchronised after it was
// written.
#include "daemon/op/op_internal.h"
#include "tests/lib/two_disks.h"
#include "tests/op/successor.h"

enum { BLOCK = 4096, SIZE = 4 * BLOCK };

// Either of the region's two files.
struct watched {
    ino_t inode; // 0: it is not there yet
    uint32_t flags, flags_on_disk;
    bool is_on_disk; // a record of it is
};

static struct {
    struct file_ops real; // those of the fixture, which may fail
    struct watched files[2];
    struct handle handle;
    unsigned n_joined, n_removed; // times that the rules were put to the test
} watch;

static struct watched *find(ino_t inode)
{
    for (int i = 0; i < 2; i++)
        if (inode && watch.files[i].inode == inode)
            return &watch.files[i];
    return NULL;
}

static struct watched *find_fd(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? find(st.st_ino) : NULL;
}

static struct watched *other_of(const struct watched *w)
{
    return &watch.files[w == &watch.files[0]];
}

static bool says(const struct watched *w, uint32_t flag)
{
    return w->inode && w->is_on_disk && w->flags_on_disk & flag;
}

static bool is_plain_on_disk(const struct watched *w)
{
    return w->inode && w->is_on_disk && !(w->flags_on_disk & (RECORD_INCOMING | RECORD_MOVED));
}

// The file W is the region from now on: the other one must say that it is not, for ever.
static void check_completed(const struct watched *w)
{
    watch.n_joined++;
    assert_true(says(other_of(w), RECORD_MOVED));
}

// The file W goes: the other one is the region for ever.
static void check_removed(const struct watched *w)
{
    watch.n_removed++;
    assert_true(is_plain_on_disk(other_of(w)));
}

static int set_xattr(int fd, const char *name, const void *value, size_t size)
{
    int r = watch.real.set_xattr(fd, name, value, size);
    struct record record;
    struct watched *w;
    struct stat st;

    if (r < 0 || strcmp(name, RECORD_XATTR) != 0)
        return r;
    assert_int_equal(record_decode(value, size, &record), 0);
    assert_int_equal(fstat(fd, &st), 0);
    w = find(st.st_ino);
    if (!w) { // the new file, before it has its name
        w = &watch.files[1];
        *w = (struct watched){.inode = st.st_ino};
    }
    if (w->flags & RECORD_INCOMING && !(record.flags & RECORD_INCOMING))
        check_completed(w);
    w->flags = record.flags;
    return r;
}

static int sync_file(int fd)
{
    int r = watch.real.sync(fd);
    struct watched *w = r == 0 ? find_fd(fd) : NULL;

    if (!w)
        return r;
    w->flags_on_disk = w->flags;
    w->is_on_disk = true;
    return r;
}

static int truncate_file(int fd, uint64_t size)
{
    const struct watched *w = find_fd(fd);

    if (w && size == 0)
        check_removed(w);
    return watch.real.truncate(fd, size);
}

static int unlink_at(int dirfd, const char *path, int flags)
{
    struct stat st;
    const struct watched *w = fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? find(st.st_ino) : NULL;

    if (w)
        check_removed(w);
    return watch.real.unlink_at(dirfd, path, flags);
}

static int quick_sync(int fd)
{
    (void)fd;
    return fails(SYNC) ? -fault_error : 0;
}

static void begin(struct two_disks *t, struct region **ret)
{
    two_disks_init(t);
    t->f.ops.sync = quick_sync;
    assert_int_equal(create(&t->f, "moves", SIZE, ret), 0);
    peer_detach(&t->f.peer, holders_find(&(*ret)->holders, &t->f.peer));
    watch.real = t->f.ops;
    watch.handle = (*ret)->record.handle;
    watch.files[0] = (struct watched){.inode = inode_of_region(*ret), .is_on_disk = true};
    watch.files[1] = (struct watched){0};
    t->f.ops.set_xattr = set_xattr;
    t->f.ops.sync = sync_file;
    t->f.ops.truncate = truncate_file;
    t->f.ops.unlink_at = unlink_at;
}

// True: there was no NTH call that changes a file.
static bool move_until_killed(struct two_disks *t, struct region *r, int nth)
{
    struct op op;
    bool ended;

    inject(EVERY, nth, EIO);
    op_init(&op, &t->f.env, &op_move, r);
    op.to = &t->second;
    run_op(&t->f, &op);
    ended = n_faults == 0;
    inject(NO_FAULT, 0, 0);
    return ended;
}

static void what_a_killed_daemon_has_left_is_put_together_so_that_a_power_failure_does_no_harm(void **state)
{
    bool ended = false;

    (void)state;
    watch.n_joined = watch.n_removed = 0;
    for (int nth = 1; !ended; nth++) {
        struct successor n;
        struct two_disks t;
        struct region *r;

        begin(&t, &r);
        ended = move_until_killed(&t, r, nth);
        successor_start(&n, &t, true, true);
        assert_int_equal(n.d.regions.n_regions, 1);
        successor_end(&n);
        t.f.ops = watch.real;
        two_disks_deinit(&t);
    }
    assert_true(watch.n_joined > 1 && watch.n_removed > 4);
}

// The successor is killed too, at each moment.
static void the_same_of_a_successor_that_is_killed(void **state)
{
    bool ended = false;

    (void)state;
    for (int nth = 1; !ended; nth++) {
        bool successor_ended = false;

        for (int then = 1; !successor_ended; then++) {
            struct successor n;
            struct two_disks t;
            struct region *r;

            begin(&t, &r);
            ended = move_until_killed(&t, r, nth);
            inject(EVERY, then, EIO);
            successor_start(&n, &t, true, true);
            successor_ended = n_faults == 0;
            successor_end(&n);
            inject(NO_FAULT, 0, 0);
            successor_start(&n, &t, true, true);
            assert_int_equal(n.d.regions.n_regions, 1);
            successor_end(&n);
            t.f.ops = watch.real;
            two_disks_deinit(&t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_killed_daemon_has_left_is_put_together_so_that_a_power_failure_does_no_harm),
        TEST(the_same_of_a_successor_that_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
