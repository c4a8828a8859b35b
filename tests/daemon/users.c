// Two real users on one daemon: neither can see, change or be charged for the regions of the other.
#include "tests/lib/actor.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <sys/mman.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

struct user {
    char name[32];
    uid_t uid;
};

// Data that the actors share.
struct meeting {
    const char *address;
    struct user alice, bob;
    char anonymous[33], named[33], bobs[33]; // handles
};

static struct meeting *meeting;
static pid_t remover;
static int remover_pipe;

static int run(const char *const argv[])
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static bool make_user(struct user *u, char letter)
{
    const struct passwd *pw;

    snprintf(u->name, sizeof(u->name), "dat%d%c", (int)getpid(), letter);
    const char *const argv[] = {"useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin",
                                u->name,   NULL};
    if (run(argv) != 0)
        return false;
    pw = getpwnam(u->name);
    if (!pw)
        return false;
    u->uid = pw->pw_uid;
    return true;
}

// The users go when this process ends, however it ends.
static void start_remover(void)
{
    char alice[32], bob[32], byte;
    int ends[2];

    snprintf(alice, sizeof(alice), "dat%da", (int)getpid());
    snprintf(bob, sizeof(bob), "dat%db", (int)getpid());
    if (pipe2(ends, O_CLOEXEC) < 0)
        test_skip_all("no pipe");
    remover = fork();
    if (remover == 0) {
        const char *const remove_alice[] = {"userdel", "--force", alice, NULL}, *const remove_bob[] = {
                                                                                    "userdel", "--force", bob, NULL};

        setsid();
        signal(SIGTERM, SIG_IGN);
        close(ends[1]);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
            ;
        run(remove_alice);
        run(remove_bob);
        _exit(0);
    }
    close(ends[0]);
    remover_pipe = ends[1];
}

static int make_users(void **state)
{
    (void)state;
    if (geteuid() != 0)
        test_skip_all("making users needs root");
    meeting = mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(meeting != MAP_FAILED);
    start_remover();
    if (!make_user(&meeting->alice, 'a') || !make_user(&meeting->bob, 'b'))
        test_skip_all("useradd makes no users here");
    return 0;
}

static int remove_users(void **state)
{
    (void)state;
    close(remover_pipe);
    waitpid(remover, NULL, 0);
    munmap(meeting, sizeof(*meeting));
    return 0;
}

static void be_alice(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *anonymous = NULL, *named = NULL;
    struct diskalloc *da = NULL;
    struct diskalloc_usage u;

    (void)data;
    NEED(diskalloc_open(meeting->address, NULL, &da) == 0);
    o.size = MIB;
    NEED(diskalloc_region_create(da, &o, &anonymous) == 0);
    NEED(open_named(da, "diary", 2 * MIB, DISKALLOC_REGION_CREATE, &named) == 0);
    strcpy(diskalloc_region_data(named), "dear diary");
    strcpy(meeting->anonymous, diskalloc_region_handle(anonymous));
    strcpy(meeting->named, diskalloc_region_handle(named));
    actor_next(self); // bob tries
    NEED(strcmp(diskalloc_region_data(named), "dear diary") == 0);
    NEED(diskalloc_region_resize(named, 3 * MIB) == 0); // still hers, still named
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof(u)) == 0);
    NEED(u.bytes == 4 * MIB && u.regions == 2);
    diskalloc_region_close(named);
    NEED(open_named(da, "diary", 0, 0, &named) == 0);
    NEED(diskalloc_region_size(named) == 3 * MIB);
    diskalloc_region_close(named);
    diskalloc_region_close(anonymous);
    NEED(diskalloc_region_unlink(da, "diary") == 0);
    diskalloc_close(da);
    actor_done(self);
}

static bool fails_with(int got, int code)
{
    if (got != code)
        fprintf(stderr, "got %d, expected %d: %s\n", got, code, diskalloc_last_error());
    return got == code && diskalloc_last_error()[0] != '\0';
}

static void be_bob(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL, *own = NULL;
    struct diskalloc *da = NULL;
    struct diskalloc_usage u;
    char hers[64];

    (void)data;
    NEED(diskalloc_open(meeting->address, NULL, &da) == 0);
    snprintf(hers, sizeof(hers), "%s/diary", meeting->alice.name);
    NEED(fails_with(open_named(da, hers, 0, 0, &r), -EACCES));
    NEED(fails_with(open_named(da, hers, 0, DISKALLOC_REGION_READ_ONLY, &r), -EACCES));
    NEED(fails_with(diskalloc_region_attach(da, meeting->named, NULL, &r), -EACCES));
    NEED(fails_with(diskalloc_region_attach(da, meeting->anonymous, NULL, &r), -EACCES));
    o.flags = DISKALLOC_REGION_READ_ONLY;
    NEED(fails_with(diskalloc_region_attach(da, meeting->anonymous, &o, &r), -EACCES));
    NEED(fails_with(diskalloc_region_unlink(da, hers), -EACCES));
    NEED(fails_with(diskalloc_region_unlink(da, "diary"), -ENOENT));
    NEED(fails_with(open_named(da, "diary", 0, 0, &r), -ENOENT));
    NEED(r == NULL);
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof(u)) == 0);
    NEED(u.bytes == 0 && u.regions == 0);
    snprintf(hers, sizeof(hers), "user:%s", meeting->alice.name);
    NEED(fails_with(diskalloc_get_usage(da, hers, &u, sizeof(u)), -EACCES));
    // The same name of one's own is another region.
    NEED(open_named(da, "diary", 5000, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &own) == 0);
    NEED(*(char *)diskalloc_region_data(own) == '\0');
    strcpy(meeting->bobs, diskalloc_region_handle(own));
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof(u)) == 0);
    NEED(u.bytes == 8192 && u.regions == 1);
    actor_next(self);
    diskalloc_region_close(own);
    NEED(diskalloc_region_unlink(da, "diary") == 0);
    diskalloc_close(da);
    actor_done(self);
}

// The output of "diskallocctl --json regions" for UID, to be freed.
static char *list_regions_as(uid_t uid)
{
    size_t n = 0, size = 1 << 20;
    char *text = calloc(1, size);
    int ends[2], status;
    ssize_t got;
    pid_t pid;

    assert_non_null(text);
    assert_return_code(pipe2(ends, O_CLOEXEC), errno);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        char *const arguments[] = {"diskallocctl", "--address", (char *)meeting->address, "--json", "regions", NULL};
        // Opened before: the checkout may lie where that user cannot go.
        int program = open(TEST_DISKALLOCCTL, O_PATH);

        actor_become(uid);
        dup2(ends[1], STDOUT_FILENO);
        fexecve(program, arguments, environ);
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], text + n, size - 1 - n)) > 0)
        n += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return text;
}

static void check_lists(void)
{
    char *alices = list_regions_as(meeting->alice.uid), *bobs = list_regions_as(meeting->bob.uid);
    char *all = list_regions_as(0);

    assert_non_null(strstr(alices, meeting->named));
    assert_non_null(strstr(alices, meeting->anonymous));
    assert_null(strstr(alices, meeting->bobs));
    assert_non_null(strstr(bobs, meeting->bobs));
    assert_null(strstr(bobs, meeting->named));
    assert_null(strstr(bobs, meeting->anonymous));
    assert_non_null(strstr(all, meeting->named));
    assert_non_null(strstr(all, meeting->bobs));
    free(alices);
    free(bobs);
    free(all);
}

static void a_user_cannot_see_or_touch_anothers_regions(void **state)
{
    struct actor alice, bob;
    struct test_backend b = {.remote = true};
    struct diskalloc_usage u = {0};

    (void)state;
    test_daemon_start(&b.daemon, NULL, NULL);
    meeting->address = b.daemon.address;
    actor_start(&alice, be_alice, NULL, meeting->alice.uid);
    actor_await(&alice); // she has her regions
    actor_start(&bob, be_bob, NULL, meeting->bob.uid);
    actor_await(&bob); // he has tried everything, and has one of his own
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    assert_int_equal(diskalloc_get_usage(b.da, "total", &u, sizeof(u)), 0);
    assert_int_equal(u.bytes, 3 * MIB + 8192);
    assert_int_equal(u.regions, 3);
    if (access(TEST_DISKALLOCCTL, X_OK) == 0)
        check_lists();
    actor_go(&bob);
    actor_await(&bob);
    actor_go(&alice);
    actor_await(&alice);
    actor_finish(&alice);
    actor_finish(&bob);
    backend_stop(&b);
}

// Both at the same time, each up to a limit of its own.
static void push_to_the_limit(struct actor *self, void *data)
{
    struct diskalloc *da = NULL;
    struct diskalloc_usage u;
    const uint64_t mark = getuid();

    (void)data;
    NEED(diskalloc_open(meeting->address, NULL, &da) == 0);
    actor_next(self);
    for (int round = 0; round < 10; round++) {
        struct u64s v = {0};
        uint64_t i = 0;
        int code;

        NEED(u64s_init(&v, da) == 0);
        while ((code = u64s_push(&v, i ^ mark)) == 0)
            i++;
        NEED(fails_with(code, -EDQUOT));
        NEED(diskalloc_get_usage(da, NULL, &u, sizeof(u)) == 0);
        if (u.bytes != u.bytes_limit || v.len != u.bytes / sizeof(uint64_t))
            fprintf(stderr, "round %d: %zu elements, %llu of %llu bytes\n", round, v.len, (unsigned long long)u.bytes,
                    (unsigned long long)u.bytes_limit);
        NEED(u.bytes == u.bytes_limit && v.len == u.bytes / sizeof(uint64_t));
        for (i = 0; i < v.len; i++)
            NEED(v.data[i] == (i ^ mark));
        u64s_deinit(&v);
    }
    diskalloc_close(da);
    actor_done(self);
}

static void two_users_work_at_once_and_are_charged_apart(void **state)
{
    struct actor alice, bob;
    struct test_backend b = {.remote = true};
    char config[300];

    (void)state;
    snprintf(config, sizeof(config),
             "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 8M\n[quota user:%s]\nbytes = 12M\n", meeting->bob.name);
    test_daemon_start(&b.daemon, config, NULL);
    meeting->address = b.daemon.address;
    actor_start(&alice, push_to_the_limit, NULL, meeting->alice.uid);
    actor_start(&bob, push_to_the_limit, NULL, meeting->bob.uid);
    actor_await(&alice);
    actor_await(&bob);
    actor_go(&alice);
    actor_go(&bob);
    actor_await(&alice);
    actor_await(&bob);
    actor_finish(&alice);
    actor_finish(&bob);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    backend_stop(&b);
}

static void try_a_directory_that_belongs_to_somebody_else(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    int code = diskalloc_open(data, NULL, &da);

    (void)self;
    o.size = 1;
    if (code == 0)
        code = diskalloc_region_create(da, &o, &r);
    NEED(fails_with(code, -EACCES));
    diskalloc_close(da);
}

static void an_embedded_directory_of_another_user_is_refused(void **state)
{
    struct actor bob;
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    actor_start(&bob, try_a_directory_that_belongs_to_somebody_else, b.address, meeting->bob.uid);
    actor_finish(&bob);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_user_cannot_see_or_touch_anothers_regions),
        TEST(two_users_work_at_once_and_are_charged_apart),
        TEST(an_embedded_directory_of_another_user_is_refused),
    };

    return cmocka_run_group_tests(tests, make_users, remove_users);
}
