// See fenced.h.
#include "tests/lib/fenced.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/spill/extents.h"
#include "proto/spill/holes.h"
#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"

enum { SECONDS = 30 };

void fenced_path(const struct fenced *f, const struct diskalloc_region *region, char ret[static 320])
{
    snprintf(ret, 320, "%s/%u/%s", f->daemon.spill, getuid(), diskalloc_region_handle(region));
}

void fenced_start(struct fenced *f, const char *fence, uint64_t size)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    char config[100], path[320];

    snprintf(config, sizeof config, "[daemon]\nkeep_free = 0\nfence = %s\n", fence);
    *f = (struct fenced){.size = size};
    test_daemon_start(&f->daemon, config, NULL);
    assert_int_equal(diskalloc_open(f->daemon.address, NULL, &f->da), 0);
    o.size = size;
    assert_int_equal(diskalloc_region_create(f->da, &o, &f->region), 0);
    memset(diskalloc_region_data(f->region), 1, size);
    f->fd = diskalloc_region_fd(f->region);
    assert_true(f->fd >= 0);
    fenced_path(f, f->region, path);
    f->plain = open(path, O_RDWR | O_CLOEXEC);
    assert_true(f->plain >= 0);
}

void fenced_stop(struct fenced *f)
{
    cleanup_close(&f->plain);
    diskalloc_region_close(f->region);
    diskalloc_close(f->da);
    test_daemon_stop_and_remove(&f->daemon);
}

bool fenced_is_exact(const struct fenced *f, const struct diskalloc_region *region)
{
    const struct ranges none = {0};
    uint64_t size = diskalloc_region_size(region), lacking = 0, behind = 0;
    char path[320];
    _cleanup_close_ int fd = -1;
    struct stat st;

    fenced_path(f, region, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    if (holes_count(fd, 0, size, &none, &lacking) == -EOPNOTSUPP)
        lacking = (uint64_t)st.st_blocks * 512 < size;
    extents_count_behind(fd, (size + 4095) / 4096 * 4096, &behind);
    return (uint64_t)st.st_size == size && lacking == 0 && behind == 0 &&
           (uint64_t)st.st_blocks * 512 <= size + size / 256 + 64 * KIB;
}

struct exact {
    const struct fenced *f;
    uint64_t bytes;
};

static bool is_exact(void *data)
{
    const struct exact *e = data;
    struct diskalloc_usage usage;

    return fenced_is_exact(e->f, e->f->region) && diskalloc_get_usage(e->f->da, NULL, &usage, sizeof usage) == 0 &&
           usage.bytes == e->bytes;
}

void fenced_await_exact(const struct fenced *f, uint64_t bytes)
{
    struct exact e = {f, bytes};

    test_wait_until(is_exact, &e, SECONDS, "file and charge are what is granted");
}

unsigned fenced_count_logged(const struct fenced *f, const char *text)
{
    _cleanup_free_ char *log = scratch_read_file(f->daemon.log);
    unsigned n = 0;

    for (const char *at = log; at && (at = strstr(at, text)); at++)
        n++;
    return n;
}

char *fenced_status(const struct fenced *f, uint64_t *ret_mended, char **ret_missing)
{
    Diskalloc__V1__GetStatus get = DISKALLOC__V1__GET_STATUS__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    struct raw c;
    char *names;

    assert_int_equal(raw_open(&c, f->daemon.socket), 0);
    q.body_case = RAW_BODY(GET_STATUS);
    q.get_status = &get;
    reply = raw_call(&c, &q);
    assert_int_equal(raw_code(reply), 0);
    names = strdup(reply->status->fences);
    if (ret_mended)
        *ret_mended = reply->status->mended;
    if (ret_missing)
        *ret_missing = strdup(reply->status->fences_missing);
    raw_free(reply);
    raw_close(&c);
    return names;
}
