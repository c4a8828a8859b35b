// A directory that several users share, without a daemon: other users' files under one's names, and their links.
#include "tests/lib/shared_directory.h"
#include "tests/lib/actor.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <sys/file.h>
#include <sys/stat.h>

#include "proto/spill/record.h"
#include "proto/util/clock.h"

static void refuse_all_flags(struct diskalloc *da, const char *name)
{
    struct diskalloc_region *r = NULL;

    for (uint32_t flags = 0; flags < 16; flags++) {
        if (flags & DISKALLOC_REGION_EXCLUSIVE)
            continue;
        EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, name, 0600, flags, &r));
        expect_sentence("+61234/");
    }
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open",
                   open_mode(da, name, 0600, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r));
    EXPECT_FAILURE(-EACCES, "diskalloc_region_unlink", diskalloc_region_unlink(da, name));
    expect_sentence("+61234/");
    assert_null(r);
}

static void be_refused(struct diskalloc *da)
{
    refuse_all_flags(da, "private");
    refuse_all_flags(da, "read");
    refuse_all_flags(da, "write");
}

static void find_all_as_it_was(struct diskalloc *da)
{
    static const char *const names[] = {"private", "read", "write"};

    for (size_t i = 0; i < 3; i++) {
        struct diskalloc_region *r = NULL;

        assert_int_equal(open_mode(da, names[i], 0, 0, &r), 0);
        assert_int_equal(diskalloc_region_size(r), 8192);
        for (size_t k = 0; k < 8192; k++)
            assert_int_equal(((char *)diskalloc_region_data(r))[k], 7);
        diskalloc_region_close(r);
        assert_int_equal(diskalloc_region_unlink(da, names[i]), 0);
    }
}

static void a_name_that_another_user_has_is_refused_and_the_owner_named(void **state)
{
    (void)state;
    shared_directory_make();
    as_user(ALICE, make_three);
    as_user(BOB, be_refused);
    as_user((uid_t)-1, be_refused); // root
    as_user(ALICE, find_all_as_it_was);
    shared_directory_remove();
}

static void plant_files(struct diskalloc *da)
{
    int fd = open(in_directory("data"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    (void)da;
    assert_return_code(fd, errno);
    assert_return_code(fchmod(fd, 0666), errno);
    assert_int_equal(write(fd, "bait", 4), 4);
    close(fd);
    assert_return_code(mkfifo(in_directory("pipe"), 0666), errno);
    assert_return_code(symlink("data", in_directory("symbolic")), errno);
    assert_return_code(symlink("nowhere", in_directory("dangling")), errno);
}

static void take_no_bait(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;
    uint32_t create = DISKALLOC_REGION_CREATE;

    EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, "data", 0600, create, &r));
    expect_sentence("+61235/");
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_mode(da, "pipe", 0600, create, &r));
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_mode(da, "symbolic", 0600, create, &r));
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_mode(da, "dangling", 0600, create, &r));
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_mode(da, "hard", 0600, create, &r));
    expect_sentence("hard link");
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_mode(da, "moved", 0600, create, &r));
    assert_null(r);
}

static void make_victims(struct diskalloc *da)
{
    make_with_mode(da, "victim", 0600);
    make_with_mode(da, "hard", 0600);
}

static void make_link(const char *from, const char *to)
{
    char path[300];

    snprintf(path, sizeof path, "%s", in_directory(from));
    assert_return_code(link(path, in_directory(to)), errno);
}

static void what_others_have_planted_is_refused(void **state)
{
    struct stat st;
    char *content;

    (void)state;
    shared_directory_make();
    as_user(BOB, plant_files);
    as_user(ALICE, make_victims);
    // Where fs.protected_hardlinks is 0, everybody can make links to files of others.
    assert_return_code(mkdir(in_directory("elsewhere"), 0755), errno);
    make_link("victim", "moved");
    make_link("hard", "elsewhere/hard");
    as_user(ALICE, take_no_bait);
    assert_return_code(stat(in_directory("victim"), &st), errno);
    assert_int_equal(st.st_size, 8192);
    content = scratch_read_file(in_directory("data"));
    assert_string_equal(content, "bait");
    free(content);
    assert_int_equal(access(in_directory("nowhere"), F_OK), -1);
    shared_directory_remove();
}

static void use_what_the_mode_permits(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;

    EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, "+61234/private", 0, 0, &r));
    EXPECT_FAILURE(-EACCES, "diskalloc_region_open",
                   open_mode(da, "+61234/private", 0, DISKALLOC_REGION_READ_ONLY, &r));
    EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, "+61234/read", 0, 0, &r));
    assert_int_equal(open_mode(da, "+61234/read", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    assert_int_equal(((char *)diskalloc_region_data(r))[8191], 7);
    diskalloc_region_close(r);
    assert_int_equal(open_mode(da, "+61234/write", 0, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 20000), 0);
    assert_int_equal(diskalloc_region_resize(r, 8192), 0);
    diskalloc_region_close(r);
    r = NULL;
    EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, "+61234/new", 0600, DISKALLOC_REGION_CREATE, &r));
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_mode(da, "+61234/new", 0600, 0, &r));
    EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, "+61236/write", 0600, 0, &r));
    EXPECT_FAILURE(-EACCES, "diskalloc_region_unlink", diskalloc_region_unlink(da, "+61234/write"));
    assert_null(r);
}

static void another_users_region_is_reached_by_that_users_name_as_the_mode_permits(void **state)
{
    (void)state;
    shared_directory_make();
    as_user(ALICE, make_three);
    as_user(BOB, use_what_the_mode_permits);
    as_user(ALICE, find_all_as_it_was);
    shared_directory_remove();
}

static char handle[33];

// A file of BOB's, of the mode 0666, that claims to be the region whose file is called FROM.
static void forge(const char *from, const char *name)
{
    int source = open(in_directory(from), O_RDONLY | O_CLOEXEC), fd = -1;
    struct record record;

    assert_return_code(source, errno);
    assert_int_equal(record_load(&file_ops_system, source, &record), 0);
    close(source);
    strcpy(record.name, name);
    record.name_length = (uint8_t)strlen(name);
    fd = open(in_directory(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    assert_int_equal(record_store(&file_ops_system, fd, &record), 0);
    assert_return_code(ftruncate(fd, 8192), errno);
    assert_return_code(fchown(fd, BOB, BOB), errno);
    assert_return_code(fchmod(fd, 0666), errno);
    close(fd);
}

static void attach_ones_own(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;
    struct stat st;

    assert_int_equal(diskalloc_region_attach(da, handle, NULL, &r), 0);
    assert_return_code(fstat(diskalloc_region_fd(r), &st), errno);
    assert_int_equal(st.st_uid, ALICE);
    diskalloc_region_close(r);
}

static void attach_neither(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;

    EXPECT_FAILURE(-EACCES, "diskalloc_region_attach", diskalloc_region_attach(da, handle, NULL, &r));
}

static void attach_by_mode(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(diskalloc_region_attach(da, handle, NULL, &r), 0);
    assert_int_equal(((char *)diskalloc_region_data(r))[8191], 7);
    diskalloc_region_close(r);
}

static void read_handle(const char *name)
{
    struct diskalloc *da = open_directory();
    struct diskalloc_region *r = NULL;
    char full[64];

    snprintf(full, sizeof full, "+%d/%s", ALICE, name);
    assert_int_equal(open_mode(da, full, 0, 0, &r), 0);
    strcpy(handle, diskalloc_region_handle(r));
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void a_handle_that_others_copied_leads_to_ones_own_region(void **state)
{
    char name[8];

    (void)state;
    shared_directory_make();
    as_user(ALICE, make_three);
    read_handle("write");
    as_user(BOB, attach_by_mode);
    // Many, as the order of a directory is anybody's guess.
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "a%d", i);
        forge("write", name);
    }
    as_user(ALICE, attach_ones_own);
    as_user(CAROL, attach_neither);
    shared_directory_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_that_another_user_has_is_refused_and_the_owner_named),
        TEST(what_others_have_planted_is_refused),
        TEST(another_users_region_is_reached_by_that_users_name_as_the_mode_permits),
        TEST(a_handle_that_others_copied_leads_to_ones_own_region),
    };

    if (geteuid() != 0)
        test_skip_all("being several users needs root");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
