// See shared_directory.h.
#include "tests/lib/shared_directory.h"

#include <sys/stat.h>

#include "tests/lib/scratch.h"

static char directory[150];

const char *shared_directory(void)
{
    return directory;
}

const char *in_directory(const char *name)
{
    static char path[300];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

struct diskalloc *open_directory(void)
{
    char address[176];
    struct diskalloc *da = NULL;

    snprintf(address, sizeof address, "dir:%s", directory);
    assert_int_equal(diskalloc_open(address, NULL, &da), 0);
    return da;
}

struct step {
    void (*run)(struct diskalloc *da);
};

static void run_step(void *data)
{
    struct diskalloc *da = open_directory();

    ((struct step *)data)->run(da);
    diskalloc_close(da);
}

void as_user(uid_t uid, void (*step)(struct diskalloc *da))
{
    struct step s = {step};
    int status = test_in_child(run_step, &s, uid);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int open_mode(struct diskalloc *da, const char *name, uint32_t mode, uint32_t flags, struct diskalloc_region **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.size = 8192;
    o.mode = mode;
    o.flags = flags;
    return diskalloc_region_open(da, name, &o, ret);
}

void make_with_mode(struct diskalloc *da, const char *name, uint32_t mode)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_mode(da, name, mode, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
    memset(diskalloc_region_data(r), 7, 8192);
    diskalloc_region_close(r);
}

void expect_sentence(const char *what)
{
    if (!strstr(diskalloc_last_error(), what))
        print_error("the sentence: %s\n", diskalloc_last_error());
    assert_non_null(strstr(diskalloc_last_error(), what));
}

void shared_directory_make(void)
{
    scratch_make_dir(directory, sizeof directory);
    assert_return_code(chmod(directory, 01777), errno);
}

void shared_directory_remove(void)
{
    scratch_remove_tree(directory);
}

void make_three(struct diskalloc *da)
{
    make_with_mode(da, "private", 0600);
    make_with_mode(da, "read", 0644);
    make_with_mode(da, "write", 0666);
}
