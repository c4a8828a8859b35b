// See disk.h.
#include "tests/lib/disk.h"

#include <sys/stat.h>

#include "tests/lib/harness.h"
#include "tests/lib/raw_client.h"

void disk_serve(struct disk *d, const char *config)
{
    snprintf(d->spill, sizeof d->spill, "%s/spill", d->m.at);
    assert_int_equal(mkdir(d->spill, 0700), 0);
    test_daemon_start(&d->daemon, config, d->spill);
    assert_int_equal(diskalloc_open(d->daemon.address, NULL, &d->da), 0);
}

bool disk_start(struct disk *d, const char *config)
{
    if (!test_mount(&d->m, "ext4", DISK))
        return false;
    disk_serve(d, config);
    return true;
}

void disk_end(struct disk *d)
{
    diskalloc_close(d->da);
    test_daemon_stop_and_remove(&d->daemon);
    test_unmount(&d->m);
}

struct health health_of(const struct disk *d)
{
    Diskalloc__V1__GetStatus m = DISKALLOC__V1__GET_STATUS__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct health h = {0};
    RawReply *reply;
    struct raw c;

    assert_int_equal(raw_open(&c, d->daemon.socket), RAW_CODE(OK));
    q.body_case = RAW_BODY(GET_STATUS);
    q.get_status = &m;
    reply = raw_call(&c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    snprintf(h.problem, sizeof h.problem, "%.*s", (int)reply->status->problem.len, (char *)reply->status->problem.data);
    h.inodes = reply->status->disk_inodes;
    h.inodes_available = reply->status->disk_inodes_available;
    h.quota_limit = reply->status->fs_quota_limit;
    h.quota_used = reply->status->fs_quota_used;
    raw_free(reply);
    raw_close(&c);
    return h;
}
