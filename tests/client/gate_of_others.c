// A file of another user at the place of a region's gate is no gate: it keeps the region's owner from nothing.
#include "tests/lib/actor.h"
#include "tests/lib/shared_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>

#include "proto/util/clock.h"

enum { SOLE = DISKALLOC_REGION_SOLE_WRITER };

static char gate[300];

// Removes the gate of the only region, as a program may that removes old files, and remembers its name.
static void remove_gate(void)
{
    DIR *d = opendir(shared_directory());

    gate[0] = '\0';
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] == '.' && strstr(e->d_name, ".lock"))
            snprintf(gate, sizeof gate, "%s", in_directory(e->d_name));
    closedir(d);
    assert_return_code(unlink(gate), errno);
}

static void make_shown(struct diskalloc *da)
{
    make_with_mode(da, "shown", 0644);
}

static void expect_the_owner_writes(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;
    uint64_t began = clock_now();

    for (int i = 0; i < 2; i++) {
        if (open_mode(da, "shown", 0, i == 0 ? SOLE : 0, &r) < 0)
            fail_msg("%s", diskalloc_last_error());
        assert_int_equal(diskalloc_region_resize(r, (uint64_t)(i + 1) * MIB), 0);
        diskalloc_region_close(r);
    }
    assert_true(clock_now() - began < 5000);
}

// Makes something at the gate's place, as DATA says.
static void take_the_place(struct actor *self, void *data)
{
    const char *how = data;
    int fd = -1;

    umask(0);
    if (strcmp(how, "pipe") == 0)
        NEED(mkfifo(gate, 0600) == 0);
    else if (strcmp(how, "directory") == 0)
        NEED(mkdir(gate, 0700) == 0);
    else if (strcmp(how, "link") == 0)
        NEED(symlink("/dev/null", gate) == 0);
    else
        NEED((fd = open(gate, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, strcmp(how, "closed") == 0 ? 0600 : 0666)) >= 0);
    signal(SIGIO, SIG_IGN);
    if (strcmp(how, "lease") == 0)
        NEED(fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
    actor_done(self);
    actor_wait(self);
    actor_done(self);
}

static void expect_no_gate(const char *how)
{
    struct actor bob;

    shared_directory_make();
    as_user(ALICE, make_shown);
    remove_gate();
    actor_start(&bob, take_the_place, (void *)how, BOB);
    actor_await(&bob);
    as_user(ALICE, expect_the_owner_writes);
    actor_kill(&bob);
    shared_directory_remove();
}

static void a_closed_file_of_another_user_keeps_the_owner_from_nothing(void **state)
{
    (void)state;
    expect_no_gate("closed");
    expect_no_gate("open");
}

static void a_lease_of_another_user_keeps_the_owner_from_nothing(void **state)
{
    (void)state;
    expect_no_gate("lease");
}

static void what_is_no_file_keeps_the_owner_from_nothing(void **state)
{
    (void)state;
    expect_no_gate("pipe");
    expect_no_gate("directory");
    expect_no_gate("link");
}

// Makes and removes files at the gate's place in a loop.
static void change_the_place(struct actor *self, void *data)
{
    (void)data;
    umask(0);
    actor_done(self);
    for (;;) {
        int fd = open(gate, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd >= 0)
            close(fd);
        unlink(gate);
        if (mkfifo(gate, 0600) == 0)
            unlink(gate);
    }
}

static void open_often(struct diskalloc *da)
{
    for (int i = 0; i < 200; i++)
        expect_the_owner_writes(da);
}

static void a_place_that_changes_all_the_time_keeps_the_owner_from_nothing(void **state)
{
    struct actor bob;

    (void)state;
    shared_directory_make();
    as_user(ALICE, make_shown);
    remove_gate();
    actor_start(&bob, change_the_place, NULL, BOB);
    actor_await(&bob);
    as_user(ALICE, open_often);
    actor_kill(&bob);
    shared_directory_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_file_of_another_user_keeps_the_owner_from_nothing),
        TEST(a_lease_of_another_user_keeps_the_owner_from_nothing),
        TEST(what_is_no_file_keeps_the_owner_from_nothing),
        TEST(a_place_that_changes_all_the_time_keeps_the_owner_from_nothing),
    };

    if (geteuid() != 0)
        test_skip_all("being several users needs root");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
