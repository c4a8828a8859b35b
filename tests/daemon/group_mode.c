// Who may attach a region of another user, by its mode: the owner, members of the owner's group, others.  Members are
// those of the user database, and processes that have the group as a supplementary one.
#include "tests/lib/quota_usage.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { OWNER, MEMBER, STRANGER }; // users of people

static struct people people;
static struct test_daemon daemon_;
static gid_t group;

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 8M\n";

// The owner's primary group becomes group 0, of which the member is a member.
static int make_people(void **state)
{
    char command[200];
    const struct group *g;

    (void)state;
    people_make(&people);
    snprintf(command, sizeof command, "usermod --gid %s %s", people.group[0], people.user[OWNER]);
    assert_int_equal(system(command), 0);
    people_join(&people, MEMBER, 0);
    g = getgrnam(people.group[0]);
    assert_non_null(g);
    group = g->gr_gid;
    test_daemon_start(&daemon_, config, NULL);
    return 0;
}

static int remove_people(void **state)
{
    (void)state;
    test_daemon_stop_and_remove(&daemon_);
    people_free(&people);
    return 0;
}

// A child with the rights of a user, and perhaps with the group as a supplementary one.
static void become(int user, bool with_group)
{
    uid_t uid = people.uid[user];

    NEED(setgroups(with_group ? 1 : 0, &group) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
}

struct
try {
    int user;
    bool with_group, read_only;
    int expected;
    char name[100], handle[33];
};

static void attach_as(void *data)
{
    const struct try *t = data;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL, *again = NULL;
    struct diskalloc *da = NULL;
    struct diskalloc_usage u;
    int got;

    become(t->user, t->with_group);
    NEED(diskalloc_open(daemon_.address, NULL, &da) == 0);
    got = open_named(da, t->name, 0, t->read_only ? DISKALLOC_REGION_READ_ONLY : 0, &r);
    if (got != t->expected)
        fprintf(stderr, "user %d (group %d, read-only %d): %d, not %d: %s\n", t->user, t->with_group, t->read_only, got,
                t->expected, diskalloc_last_error());
    NEED(got == t->expected);
    o.flags = t->read_only ? DISKALLOC_REGION_READ_ONLY : 0;
    NEED(diskalloc_region_attach(da, t->handle, &o, &again) == t->expected);
    if (got == 0) {
        NEED(memcmp(diskalloc_region_data(r), "hello", 5) == 0);
        NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0);
        NEED(t->user == OWNER || (u.bytes == 0 && u.regions == 0)); // the owner pays
        if (t->read_only) {
            NEED(diskalloc_region_fd(r) >= 0 && (fcntl(diskalloc_region_fd(r), F_GETFL) & O_ACCMODE) == O_RDONLY);
            NEED(write(diskalloc_region_fd(r), "x", 1) < 0);
            NEED(mprotect(diskalloc_region_data(r), 4096, PROT_READ | PROT_WRITE) < 0 && errno == EACCES);
        }
        diskalloc_region_close(r);
        diskalloc_region_close(again);
    }
    diskalloc_close(da);
    _exit(0);
}

static void expect_access(const struct try *t)
{
    int status = test_in_child(attach_as, (void *)t, (uid_t)-1);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

// Makes a region with MODE, keeps it until it is told to go, and removes it.
static uint32_t mode_wanted;
static char *handle_made;

static void own(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    (void)data;
    become(OWNER, false);
    NEED(diskalloc_open(daemon_.address, NULL, &da) == 0);
    o.size = 8192;
    o.mode = mode_wanted;
    o.flags = DISKALLOC_REGION_CREATE;
    NEED(diskalloc_region_open(da, "ours", &o, &r) == 0);
    memcpy(diskalloc_region_data(r), "hello", 5);
    strcpy(handle_made, diskalloc_region_handle(r));
    actor_next(self);
    diskalloc_region_close(r);
    NEED(diskalloc_region_unlink(da, "ours") == 0);
    diskalloc_close(da);
    actor_done(self);
}

// What each may do with a region of MODE, as on files: r and w are what READ and WRITE say.
static void check_mode(uint32_t mode, int member_reads, int member_writes, int other_reads, int other_writes)
{
    struct actor owner;
    struct try t = {0};

    mode_wanted = mode;
    actor_start(&owner, own, NULL, (uid_t)-1);
    actor_await(&owner);
    strcpy(t.handle, handle_made);
    snprintf(t.name, sizeof t.name, "%s/ours", people.user[OWNER]);
    for (int read_only = 0; read_only < 2; read_only++) {
        t.read_only = read_only;
        t.with_group = false;
        t.user = OWNER;
        t.expected = 0; // whatever the mode says
        expect_access(&t);
        t.user = MEMBER;
        t.expected = read_only ? member_reads : member_writes;
        expect_access(&t);
        t.user = STRANGER;
        t.expected = read_only ? other_reads : other_writes;
        expect_access(&t);
        t.with_group = true; // as SupplementaryGroups= of a unit gives it
        t.expected = read_only ? member_reads : member_writes;
        expect_access(&t);
    }
    actor_go(&owner);
    actor_await(&owner);
    actor_finish(&owner);
}

static void the_mode_says_who_may_attach(void **state)
{
    (void)state;
    check_mode(0600, -EACCES, -EACCES, -EACCES, -EACCES);
    check_mode(0640, 0, -EACCES, -EACCES, -EACCES);
    check_mode(0660, 0, 0, -EACCES, -EACCES);
    check_mode(0644, 0, -EACCES, 0, -EACCES);
    check_mode(0666, 0, 0, 0, 0);
    check_mode(0606, -EACCES, -EACCES, 0, 0);             // the group's bits decide alone, as on files
    check_mode(0620, -EACCES, -EACCES, -EACCES, -EACCES); // nothing is write-only
    check_mode(0000, -EACCES, -EACCES, -EACCES, -EACCES);
}

// A group that only the process has does not make its user's regions count in that group.
static void supplementary_groups_are_not_charged(void **state)
{
    char text[300], subject[60];
    struct test_daemon d;
    struct raw root;
    int status;

    (void)state;
    snprintf(text, sizeof text, "[daemon]\nkeep_free = 0\n[quota group:%s]\nbytes = 1M\n", people.group[0]);
    test_daemon_start(&d, text, NULL);
    status = fork();
    assert_return_code(status, errno);
    if (status == 0) {
        struct diskalloc *da = NULL;

        become(STRANGER, true);
        NEED(diskalloc_open(d.address, NULL, &da) == 0);
        diskalloc_region_close(make_region(da, 4 * MIB));
        NEED(make_region(da, 4 * MIB));
        _exit(0);
    }
    assert_true(waitpid(status, &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(raw_open(&root, d.socket), RAW_CODE(OK));
    snprintf(subject, sizeof subject, "group:%s", people.group[0]);
    assert_int_equal(USAGE_OF(&root, subject, bytes), 0);
    raw_close(&root);
    test_daemon_stop_and_remove(&d);
}

// Two users share a vector: the member follows, and agrees to a cut.
static void follow(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    char name[100];
    struct u64s v;

    (void)data;
    become(MEMBER, false);
    actor_wait(self);
    NEED(diskalloc_open(daemon_.address, NULL, &da) == 0);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    snprintf(name, sizeof name, "%s/shared", people.user[OWNER]);
    NEED(u64s_open(&v, da, name, &o) == 0);
    actor_done(self);
    for (size_t wanted = 100000; wanted >= 7; wanted = wanted == 7 ? 0 : 7) {
        while (v.len != wanted) {
            NEED(u64s_refresh(&v) >= 0);
            for (size_t i = 0; i < v.len; i++)
                NEED(v.data[i] == i);
        }
        if (wanted == 100000)
            actor_done(self);
    }
    u64s_deinit(&v);
    diskalloc_close(da);
    actor_done(self);
}

static void write_for_the_group(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    struct diskalloc_usage u;
    struct u64s v;

    (void)data;
    become(OWNER, false);
    NEED(diskalloc_open(daemon_.address, NULL, &da) == 0);
    o.mode = 0640;
    o.flags = DISKALLOC_REGION_CREATE;
    NEED(u64s_open(&v, da, "shared", &o) == 0);
    actor_next(self);
    for (size_t i = 0; i < 100000; i++) {
        NEED(u64s_push(&v, i) == 0);
        NEED(i % 1000 != 999 || u64s_commit(&v, 0) == 0);
    }
    actor_next(self);
    NEED(u64s_truncate(&v, 7) == 0 && u64s_commit(&v, 0) == 0);
    NEED(u64s_shrink_to_fit(&v) == 0); // the reader agrees
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0);
    NEED(u.bytes == 4096);
    u64s_deinit(&v);
    NEED(diskalloc_region_unlink(da, "shared") == 0);
    diskalloc_close(da);
    actor_done(self);
}

static void two_users_share_a_vector_by_group_mode(void **state)
{
    struct actor writer, reader;

    (void)state;
    actor_start(&writer, write_for_the_group, NULL, (uid_t)-1);
    actor_start(&reader, follow, NULL, (uid_t)-1);
    actor_await(&writer);
    actor_go(&reader);
    actor_await(&reader);
    actor_go(&writer);
    actor_await(&writer);
    actor_await(&reader); // it has seen them all
    actor_go(&writer);
    actor_await(&writer);
    actor_await(&reader);
    actor_finish(&writer);
    actor_finish(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_mode_says_who_may_attach),
        TEST(supplementary_groups_are_not_charged),
        TEST(two_users_share_a_vector_by_group_mode),
    };

    handle_made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests(tests, make_people, remove_people);
}
