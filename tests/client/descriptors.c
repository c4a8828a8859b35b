// A program that closes all descriptors that it does not know, as daemons do, and opens its own on the same numbers:
// nothing happens to those, and the regions go on.
#include "tests/lib/actor.h"
#include "tests/lib/own_descriptors.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { OTHER_USER = 54321 };

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

struct program {
    const char *address, *dir;
    enum kind kind;
    struct own own;
    struct diskalloc *da;
    struct diskalloc_region *region, *named, *on_file;
    struct numbers vec;
    ino_t inode, named_inode, file_inode;
};

static struct diskalloc_region *need_region(struct diskalloc *da, const char *name)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;

    o.size = MIB;
    o.flags = name ? DISKALLOC_REGION_CREATE : 0;
    NEED((name ? diskalloc_region_open(da, name, &o, &r) : diskalloc_region_create(da, &o, &r)) == 0);
    memset(diskalloc_region_data(r), 1, MIB);
    return r;
}

static ino_t inode_of(struct diskalloc_region *r)
{
    struct stat st;
    int fd = diskalloc_region_fd(r);

    if (fd < 0)
        fprintf(stderr, "%s\n", diskalloc_last_error());
    NEED(fd >= 3 && fstat(fd, &st) == 0);
    NEED((uint64_t)st.st_size == diskalloc_region_size(r));
    return st.st_ino;
}

static void program_begin(struct program *p)
{
    char path[256];
    int fd;

    snprintf(path, sizeof path, "%s/mine-%d", p->dir, (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    NEED(fd >= 0 && ftruncate(fd, MIB) == 0);
    NEED(diskalloc_open(p->address, NULL, &p->da) == 0);
    p->region = need_region(p->da, NULL);
    p->named = need_region(p->da, "named");
    NEED(numbers_init(&p->vec, p->da) == 0);
    for (uint64_t i = 0; i < 1000; i++)
        NEED(numbers_push(&p->vec, i) == 0);
    NEED(diskalloc_region_from_fd(fd, NULL, &p->on_file) == 0);
    NEED(diskalloc_event_fd(p->da) >= 0);
    p->inode = inode_of(p->region);
    p->named_inode = inode_of(p->named);
    p->file_inode = inode_of(p->on_file);
}

static void need_done(int code)
{
    if (code < 0)
        fprintf(stderr, "%s\n", diskalloc_last_error());
    NEED(code == 0);
}

// All that one can do to a region, and its bytes are there.
static void use(struct diskalloc_region *r, ino_t inode)
{
    uint8_t *data = diskalloc_region_data(r);

    need_done(diskalloc_region_resize(r, MIB));
    need_done(diskalloc_region_resize(r, 3 * MIB));
    for (uint64_t i = MIB; i < 3 * MIB; i++)
        NEED(data[i] == 0);
    memset(data, 2, 3 * MIB);
    need_done(diskalloc_region_resize(r, 2 * MIB));
    need_done(diskalloc_region_discard(r, 0, 64 * KIB));
    need_done(diskalloc_region_restore(r, 0, 64 * KIB));
    NEED(data[0] == 0 && data[64 * KIB] == 2);
    need_done(diskalloc_region_commit(r, 100, 1, DISKALLOC_DURABLE));
    need_done(diskalloc_region_sync(r));
    need_done(diskalloc_region_refresh(r));
    NEED(inode_of(r) == inode);
}

static void use_client(struct diskalloc *da)
{
    struct diskalloc_region *r = need_region(da, "another");
    struct diskalloc_usage usage;
    struct diskalloc_event event;

    diskalloc_region_close(r);
    need_done(diskalloc_region_unlink(da, "another"));
    need_done(diskalloc_get_usage(da, NULL, &usage, sizeof usage));
    NEED(diskalloc_event_fd(da) >= 3);
    need_done(diskalloc_next_event(da, &event, sizeof event));
}

// A child closes what it inherited, and that too must not close the program's descriptors.
static void fork_a_child(struct program *p)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        ((uint8_t *)diskalloc_region_data(p->region))[5] = 9;
        diskalloc_region_close(p->region);
        diskalloc_region_close(p->named);
        diskalloc_region_close(p->on_file);
        numbers_deinit(&p->vec);
        diskalloc_close(p->da);
        own_check(&p->own);
        _exit(0);
    }
    NEED(waitpid(pid, &status, 0) == pid && status == 0);
    NEED(((uint8_t *)diskalloc_region_data(p->region))[5] == 9);
}

static void program_end(struct program *p)
{
    struct diskalloc_region *again = NULL;

    for (uint64_t i = 1000; i < 500000; i++)
        NEED(numbers_push(&p->vec, i) == 0);
    for (uint64_t i = 0; i < p->vec.len; i++)
        NEED(p->vec.data[i] == i);
    need_done(diskalloc_region_attach(p->da, diskalloc_region_handle(p->region), NULL, &again));
    diskalloc_region_close(again);
    diskalloc_region_close(p->region);
    diskalloc_region_close(p->named);
    diskalloc_region_close(p->on_file);
    numbers_deinit(&p->vec);
    need_done(diskalloc_region_unlink(p->da, "named"));
    diskalloc_close(p->da);
    own_check(&p->own);
}

static void run_program(void *data)
{
    struct program *p = data;

    program_begin(p);
    own_open(&p->own, p->kind, p->dir);
    use_client(p->da);
    own_check(&p->own);
    fork_a_child(p);
    use(p->region, p->inode);
    use(p->named, p->named_inode);
    use(p->on_file, p->file_inode);
    own_check(&p->own);
    // Once more: the numbers that the library has opened meanwhile are lost too.
    own_open(&p->own, p->kind, p->dir);
    use(p->on_file, p->file_inode);
    use(p->named, p->named_inode);
    use(p->region, p->inode);
    fork_a_child(p);
    program_end(p);
}

static void run(struct test_backend *b, enum kind kind, void (*program)(void *data), uid_t uid)
{
    struct program *p = calloc(1, sizeof *p);
    char dir[150];

    assert_non_null(p);
    scratch_make_dir(dir, sizeof dir);
    if (uid != (uid_t)-1) {
        assert_return_code(chown(dir, uid, uid), errno);
        if (!b->remote)
            assert_return_code(chown(b->dir, uid, uid), errno);
    }
    p->address = b->address;
    p->dir = dir;
    p->kind = kind;
    assert_int_equal(test_in_child(program, p, uid), 0);
    scratch_remove_tree(dir);
    free(p);
}

static bool is_root(void)
{
    if (geteuid() != 0)
        print_message("[ NOTE     ] needs root\n");
    return geteuid() == 0;
}

static void closed_descriptors_cost_nothing(struct test_backend *b)
{
    if (is_root() || b->remote)
        run(b, NOTHING, run_program, (uid_t)-1);
}
FOR_EACH_BACKEND(closed_descriptors_cost_nothing)

static void the_programs_files_on_the_same_numbers_stay_as_they_are(struct test_backend *b)
{
    if (is_root() || b->remote)
        run(b, FILES, run_program, (uid_t)-1);
}
FOR_EACH_BACKEND(the_programs_files_on_the_same_numbers_stay_as_they_are)

static void the_programs_other_descriptors_on_the_same_numbers_stay_as_they_are(struct test_backend *b)
{
    if (is_root() || b->remote)
        run(b, OBJECTS, run_program, (uid_t)-1);
    if (is_root() || b->remote)
        run(b, SAME_DIRECTORY, run_program, (uid_t)-1);
}
FOR_EACH_BACKEND(the_programs_other_descriptors_on_the_same_numbers_stay_as_they_are)

// Without root's rights the file of an anonymous region can't be opened again.  Its memory stays, and the error says
// why.
static void run_as_another_user(void *data)
{
    struct program *p = data;
    uint8_t *bytes;

    program_begin(p);
    own_open(&p->own, p->kind, p->dir);
    use_client(p->da);
    use(p->named, p->named_inode);
    use(p->on_file, p->file_inode);
    bytes = diskalloc_region_data(p->region);
    NEED(diskalloc_region_resize(p->region, 3 * MIB) == -EBADF);
    NEED(strstr(diskalloc_last_error(), "the program has closed the library's descriptor"));
    NEED(diskalloc_region_resize(p->region, 4096) == -EBADF);
    NEED(diskalloc_region_discard(p->region, 0, 4096) == -EBADF);
    NEED(diskalloc_region_restore(p->region, 0, 4096) == -EBADF);
    NEED(diskalloc_region_commit(p->region, 0, 0, 0) == -EBADF);
    NEED(diskalloc_region_refresh(p->region) == -EBADF);
    NEED(diskalloc_region_fd(p->region) == -EBADF);
    NEED(diskalloc_region_size(p->region) == MIB);
    for (uint64_t i = 0; i < MIB; i++)
        NEED(bytes[i] == 1);
    memset(bytes, 3, MIB);
    need_done(diskalloc_region_sync(p->region));
    diskalloc_region_close(p->region);
    diskalloc_region_close(p->named);
    diskalloc_region_close(p->on_file);
    numbers_deinit(&p->vec);
    diskalloc_close(p->da);
    own_check(&p->own);
}

static void without_roots_rights_an_anonymous_region_keeps_its_memory_and_says_why(struct test_backend *b)
{
    if (!is_root())
        return;
    run(b, FILES, run_as_another_user, OTHER_USER);
    run(b, NOTHING, run_as_another_user, OTHER_USER);
}

static void without_roots_rights_an_anonymous_region_keeps_its_memory_and_says_why_(void **state)
{
    (void)state;
    backend_run(false, NULL, without_roots_rights_an_anonymous_region_keeps_its_memory_and_says_why);
}

// The directory was moved away, and another one has its path.
static void run_beside_another_directory(void *data)
{
    struct program *p = data;
    char path[150], moved[160];
    struct diskalloc_region *r = NULL;
    struct diskalloc_usage usage;

    program_begin(p);
    snprintf(path, sizeof path, "%s", p->address + strlen("dir:"));
    snprintf(moved, sizeof moved, "%s.moved", path);
    NEED(rename(path, moved) == 0 && mkdir(path, 0700) == 0);
    own_open(&p->own, p->kind, p->dir);
    NEED(diskalloc_region_create(p->da, NULL, &r) == -EBADF);
    NEED(strstr(diskalloc_last_error(), "another directory"));
    NEED(diskalloc_region_unlink(p->da, "named") == -EBADF);
    NEED(diskalloc_get_usage(p->da, NULL, &usage, sizeof usage) == -EBADF);
    use(p->region, p->inode);
    NEED(rmdir(path) == 0 && rename(moved, path) == 0);
    use(p->named, p->named_inode);
    use_client(p->da);
    program_end(p);
}

static void another_directory_at_the_same_path_is_not_taken_for_the_first(void **state)
{
    struct test_backend b;

    (void)state;
    if (!is_root())
        return;
    backend_start(&b, false, NULL, NULL);
    run(&b, FILES, run_beside_another_directory, (uid_t)-1);
    backend_stop(&b);
}

// An event is seen by the descriptor that the program asks for after it has closed the first one.
static void a_new_event_descriptor_is_given_for_one_that_was_closed(void **state)
{
    static const char near[] = "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\nwarn_at = 50%\n";
    struct diskalloc_region *r;
    struct diskalloc_event e;
    struct test_backend b;
    struct pollfd p;
    int fd, copy;

    (void)state;
    backend_start(&b, true, near, NULL);
    fd = diskalloc_event_fd(b.da);
    copy = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fd >= 0 && copy >= 0);
    assert_int_equal(dup3(copy, fd, O_CLOEXEC), fd);
    p = (struct pollfd){.fd = diskalloc_event_fd(b.da), .events = POLLIN};
    assert_true(p.fd >= 0 && p.fd != fd);
    r = make_region(b.da, 600 * KIB);
    assert_int_equal(poll(&p, 1, 30000), 1);
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 1);
    assert_int_equal(poll(&p, 1, 0), 0);
    diskalloc_region_close(r);
    close(fd);
    close(copy);
    backend_stop(&b);
}

// Numbers that the program has closed stay closed, so that no output gets into a region or to the daemon.
static void use_without_standard_descriptors(void *data)
{
    const struct test_backend *b = data;
    struct diskalloc_region *r;
    struct diskalloc *da;
    pid_t pid;
    int status;

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    if (diskalloc_open(b->address, NULL, &da) != 0 || diskalloc_region_create(da, NULL, &r) != 0 ||
        diskalloc_event_fd(da) <= STDERR_FILENO || diskalloc_region_resize(r, MIB) != 0 || diskalloc_region_fd(r) < 0)
        _exit(1);
    pid = fork();
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            _exit(2);
    if (pid == 0)
        _exit(diskalloc_region_resize(r, 2 * MIB) == 0); // the parent's
    if (waitpid(pid, &status, 0) != pid || status != 0)
        _exit(3);
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void what_the_program_has_closed_is_nobody_elses(struct test_backend *b)
{
    assert_int_equal(test_in_child(use_without_standard_descriptors, b, (uid_t)-1), 0);
}
FOR_EACH_BACKEND(what_the_program_has_closed_is_nobody_elses)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(closed_descriptors_cost_nothing),
        EACH_BACKEND(what_the_program_has_closed_is_nobody_elses),
        EACH_BACKEND(the_programs_files_on_the_same_numbers_stay_as_they_are),
        EACH_BACKEND(the_programs_other_descriptors_on_the_same_numbers_stay_as_they_are),
        TEST(without_roots_rights_an_anonymous_region_keeps_its_memory_and_says_why_),
        TEST(another_directory_at_the_same_path_is_not_taken_for_the_first),
        TEST(a_new_event_descriptor_is_given_for_one_that_was_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
