// See test_backend.h.
#include "tests/lib/test_backend.h"

#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <sys/stat.h>

#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

void backend_start(struct test_backend *b, bool remote, const char *config, const char *where)
{
    memset(b, 0, sizeof(*b));
    b->remote = remote;
    if (remote) {
        test_daemon_start(&b->daemon, config, where);
        snprintf(b->address, sizeof(b->address), "%s", b->daemon.address);
    } else {
        if (!where)
            scratch_make_dir(b->dir, sizeof(b->dir));
        snprintf(b->address, sizeof(b->address), "dir:%s", where ? where : b->dir);
    }
    assert_int_equal(diskalloc_open(b->address, NULL, &b->da), 0);
}

bool nothing_is_charged(void *data)
{
    struct diskalloc_usage u;

    return diskalloc_get_usage(data, "total", &u, sizeof(u)) == 0 && u.bytes == 0 && u.regions == 0;
}

void backend_stop(struct test_backend *b)
{
    if (b->remote)
        test_wait_until(nothing_is_charged, b->da, 30, "all that the test took has been given back");
    diskalloc_close(b->da);
    if (b->remote)
        test_daemon_stop_and_remove(&b->daemon);
    else if (b->dir[0])
        scratch_remove_tree(b->dir);
}

void backend_run(bool remote, const char *config, void (*body)(struct test_backend *b))
{
    struct test_backend b;

    backend_start(&b, remote, config, NULL);
    body(&b);
    backend_stop(&b);
}

struct diskalloc_region *make_region(struct diskalloc *da, uint64_t size)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    int code;

    o.size = size;
    code = diskalloc_region_create(da, &o, &r);
    if (code != 0)
        print_error("%s\n", diskalloc_last_error());
    assert_int_equal(code, 0);
    return r;
}

int open_named(struct diskalloc *da, const char *name, uint64_t size, uint32_t flags, struct diskalloc_region **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.size = size;
    o.flags = flags;
    return diskalloc_region_open(da, name, &o, ret);
}

uint64_t file_size(struct diskalloc_region *r)
{
    struct stat st;
    int fd = diskalloc_region_fd(r);

    assert_true(fd >= 0);
    assert_return_code(fstat(fd, &st), errno);
    return (uint64_t)st.st_size;
}

struct diskalloc_usage usage_of(struct diskalloc *da)
{
    struct diskalloc_usage u = {0};

    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof(u)), 0);
    return u;
}

struct diskalloc_error_info expect_failure(int got, int code, const char *call, const char *file, int line)
{
    struct diskalloc_error_info info = {0};
    const char *text = diskalloc_last_error();

    if (got != code || strncmp(text, call, strlen(call)) != 0)
        print_error("%s:%d: got %d, expected %d from %s: \"%s\"\n", file, line, got, code, call, text);
    _assert_int_equal(cast_to_largest_integral_type(got), cast_to_largest_integral_type(code), file, line);
    _assert_true(strncmp(text, call, strlen(call)) == 0, "the text begins with the call's name", file, line);
    _assert_true(diskalloc_last_error_info(&info, sizeof(info)) == 0, "diskalloc_last_error_info", file, line);
    _assert_int_equal(cast_to_largest_integral_type(info.code), cast_to_largest_integral_type(code), file, line);
    return info;
}
