// Starting and ending: what persists, what is cleaned up, what is left alone; and one daemon for each directory.
#include "tests/lib/actor.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "proto/spill/record.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static struct diskalloc *client_of(const struct test_daemon *d)
{
    struct diskalloc *da = NULL;

    assert_int_equal(diskalloc_open(d->address, NULL, &da), 0);
    return da;
}

static void named_regions_persist_with_all_that_is_known_of_them(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_daemon d;
    struct diskalloc *da;
    struct u64s v = {0};
    char handle[33] = "";

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    assert_int_equal(open_named(da, "kept", 0, DISKALLOC_REGION_CREATE, &r), 0);
    strcpy(handle, diskalloc_region_handle(r));
    assert_int_equal(u64s_init_region(&v, r), 0);
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(u64s_push(&v, i * i), 0);
    assert_int_equal(u64s_commit(&v, DISKALLOC_DURABLE), 0);
    u64s_deinit(&v);
    assert_int_equal(open_named(da, "uncommitted", 12345, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    for (int i = 0; i < 4; i++) {
        uint64_t size;

        if (i % 2)
            test_daemon_stop(&d);
        else
            test_daemon_kill(&d, SIGKILL);
        test_daemon_restart(&d);
        da = client_of(&d);
        assert_int_equal(open_named(da, "uncommitted", 0, 0, &r), 0);
        assert_int_equal(diskalloc_region_size(r), 12345);
        assert_int_equal(diskalloc_region_used(r), 0);
        diskalloc_region_close(r);
        assert_int_equal(open_named(da, "kept", 0, 0, &r), 0);
        assert_string_equal(diskalloc_region_handle(r), handle);
        assert_int_equal(diskalloc_region_used(r), 80000);
        size = diskalloc_region_size(r);
        assert_true(size >= 80000);
        assert_int_equal(usage_of(da).bytes, 16384 + (size + 4095) / 4096 * 4096);
        assert_int_equal(usage_of(da).regions, 2);
        assert_int_equal(u64s_init_region(&v, r), 0);
        assert_int_equal(v.len, 10000);
        for (uint64_t k = 0; k < 10000; k++)
            assert_int_equal(v.data[k], k * k);
        u64s_deinit(&v);
        diskalloc_close(da);
    }
    da = client_of(&d);
    assert_int_equal(diskalloc_region_unlink(da, "kept"), 0);
    assert_int_equal(diskalloc_region_unlink(da, "uncommitted"), 0);
    test_wait_until(nothing_is_charged, da, 30, "both have gone");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void an_orderly_end_touches_no_clients_memory(void **state)
{
    struct diskalloc_region *r;
    struct test_daemon d;
    struct diskalloc *da;
    uint8_t *data;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    r = make_region(da, MIB);
    data = diskalloc_region_data(r);
    memset(data, 0x71, MIB);
    test_daemon_stop(&d); // fails unless it exits 0
    for (size_t i = 0; i < MIB; i++)
        assert_int_equal(data[i], 0x71);
    memset(data, 0x72, MIB);
    test_daemon_restart(&d);
    assert_int_equal(diskalloc_region_resize(r, 2 * MIB), 0);
    for (size_t i = 0; i < 2 * MIB; i++)
        assert_int_equal(data[i], i < MIB ? 0x72 : 0);
    assert_int_equal(usage_of(da).bytes, 2 * MIB);
    diskalloc_region_close(r);
    test_wait_until(nothing_is_charged, da, 30, "the region has gone");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void a_bad_configuration_and_bad_run_time_quotas_end_with_78_and_a_sentence(void **state)
{
    struct test_daemon bad, good;
    char path[200];
    FILE *f;

    (void)state;
    assert_int_equal(test_daemon_start_expecting_failure(&bad, "[daemon]\nmetrics_listen = *:9464\n", NULL), 78);
    assert_true(test_daemon_logged(
        &bad, "diskallocd.conf:2: metrics_listen = *:9464: it has to be an address of this machine only"));
    test_daemon_stop_and_remove(&bad);
    test_daemon_start(&good, NULL, NULL);
    test_daemon_stop(&good);
    snprintf(path, sizeof(path), "%s/.quota", good.spill);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs("[quota total]\nbytes = 5X\n", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(test_daemon_start_expecting_failure(&bad, NULL, good.spill), 78);
    assert_true(test_daemon_logged(&bad, "spill/.quota:2: bytes = 5X: "));
    test_daemon_stop_and_remove(&bad);
    test_daemon_stop_and_remove(&good);
}

static void a_second_daemon_is_refused_the_spill_directory(void **state)
{
    struct test_daemon first, second;
    char pid[20];

    (void)state;
    test_daemon_start(&first, NULL, NULL);
    assert_int_equal(test_daemon_start_expecting_failure(&second, NULL, first.spill), 75);
    snprintf(pid, sizeof(pid), "%d", (int)first.pid);
    assert_true(test_daemon_logged(&second, pid));
    diskalloc_close(client_of(&first));
    test_daemon_stop_and_remove(&second);
    test_daemon_stop_and_remove(&first);
}

static int run_daemon_on(const char *socket, const char *config, const char *spill)
{
    int status;
    pid_t pid = fork();

    assert_return_code(pid, errno);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsetenv("NOTIFY_SOCKET");
        execl(TEST_DISKALLOCD, "diskallocd", "--config", config, "--socket", socket, "--spill-dir", spill,
              (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_socket_that_another_daemon_listens_to_is_not_taken(void **state)
{
    struct test_daemon first;
    struct diskalloc *da;
    char other[180];
    int status;

    (void)state;
    test_daemon_start(&first, NULL, NULL);
    snprintf(other, sizeof(other), "%s/other", first.dir);
    assert_return_code(mkdir(other, 0700), errno);
    status = run_daemon_on(first.socket, first.config, other);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    da = client_of(&first);
    assert_int_equal(usage_of(da).connections, 1);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&first);
}

static void a_stale_socket_is_taken_over(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct test_daemon d;
    int sock;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    test_daemon_stop(&d);
    unlink(d.socket);
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_return_code(sock, errno);
    assert_true(strlen(d.socket) < sizeof(address.sun_path));
    strcpy(address.sun_path, d.socket);
    assert_return_code(bind(sock, (struct sockaddr *)&address, sizeof(address)), errno);
    close(sock);
    test_daemon_restart(&d);
    diskalloc_close(client_of(&d));
    test_daemon_stop_and_remove(&d);
}

static void make_file_with(const char *path, const void *xattr, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_return_code(fd, errno);
    assert_int_equal(write(fd, "content", 7), 7);
    if (xattr)
        assert_return_code(fsetxattr(fd, RECORD_XATTR, xattr, n, 0), errno);
    close(fd);
}

static bool is_gone(void *path)
{
    return access(path, F_OK) != 0;
}

struct spill_paths {
    char lost[220], inside[240], notes[220], user[220], half_made[260], restored[260], newer[260], foreign[260];
};

static void name_paths(struct spill_paths *p, const char *spill)
{
    snprintf(p->lost, sizeof(p->lost), "%s/lost+found", spill);
    snprintf(p->inside, sizeof(p->inside), "%s/#12345", p->lost);
    snprintf(p->notes, sizeof(p->notes), "%s/notes.txt", spill);
    snprintf(p->user, sizeof(p->user), "%s/%u", spill, (unsigned)geteuid());
    snprintf(p->half_made, sizeof(p->half_made), "%s/00112233445566778899aabbccddeeff", p->user);
    // As from a backup without extended attributes: content, and no record.
    snprintf(p->restored, sizeof(p->restored), "%s/0f1e2d3c4b5a69788796a5b4c3d2e1f0", p->user);
    snprintf(p->newer, sizeof(p->newer), "%s/ffeeddccbbaa99887766554433221100", p->user);
    snprintf(p->foreign, sizeof(p->foreign), "%s/somebody's file", p->user);
}

static void make_newer_region(const char *path)
{
    struct record record = {.owner_uid = geteuid(), .mode = 0600};
    uint8_t bytes[RECORD_MAX];
    size_t n = record_encode(&record, bytes);

    bytes[4] = RECORD_VERSION + 1;
    make_file_with(path, bytes, n);
}

static void what_does_not_belong_is_left_alone_and_what_is_half_made_removed(void **state)
{
    struct spill_paths p;
    struct test_daemon d;
    struct diskalloc *da;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    test_daemon_stop(&d);
    name_paths(&p, d.spill);
    assert_return_code(mkdir(p.lost, 0700), errno);
    make_file_with(p.inside, NULL, 0);
    make_file_with(p.notes, NULL, 0);
    if (mkdir(p.user, 0700) < 0)
        assert_int_equal(errno, EEXIST);
    make_file_with(p.half_made, NULL, 0);
    assert_return_code(truncate(p.half_made, 0), errno);
    make_file_with(p.restored, NULL, 0);
    make_newer_region(p.newer);
    make_file_with(p.foreign, NULL, 0);
    test_daemon_restart(&d);
    test_wait_until(is_gone, p.half_made, 30, "what is half-made has gone");
    da = client_of(&d);
    assert_int_equal(usage_of(da).regions, 0);
    diskalloc_region_close(make_region(da, 100000));
    test_wait_until(nothing_is_charged, da, 30, "the region has gone");
    diskalloc_close(da);
    assert_return_code(access(p.inside, F_OK), errno);
    assert_return_code(access(p.notes, F_OK), errno);
    assert_return_code(access(p.restored, F_OK), errno);
    assert_return_code(access(p.newer, F_OK), errno);
    assert_return_code(access(p.foreign, F_OK), errno);
    test_daemon_stop_and_remove(&d);
}

static void others_cannot_get_at_the_spill_files(void **state)
{
    struct diskalloc_region *r = NULL;
    char dir[220], path[260];
    struct test_daemon d;
    struct diskalloc *da;
    struct stat st;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    assert_int_equal(open_named(da, "private", 1000, DISKALLOC_REGION_CREATE, &r), 0);
    snprintf(dir, sizeof(dir), "%s/%u", d.spill, (unsigned)geteuid());
    snprintf(path, sizeof(path), "%s/%s", dir, diskalloc_region_handle(r));
    assert_return_code(stat(dir, &st), errno);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_return_code(stat(path, &st), errno);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 1000);
    assert_true((uint64_t)st.st_blocks * 512 >= 1000);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "private"), 0);
    test_wait_until(is_gone, path, 30, "the file has gone");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void a_lowered_limit_takes_nothing_away_over_a_restart(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_daemon d;
    struct diskalloc *da;
    FILE *f;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    assert_int_equal(open_named(da, "large", 4 * MIB, DISKALLOC_REGION_CREATE, &r), 0);
    test_daemon_kill(&d, SIGKILL);
    f = fopen(d.config, "we");
    assert_non_null(f);
    fputs("[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", f);
    assert_int_equal(fclose(f), 0);
    test_daemon_restart(&d);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(r, 4 * MIB + 1));
    assert_int_equal(usage_of(da).bytes, 4 * MIB);
    assert_int_equal(usage_of(da).bytes_limit, MIB);
    assert_int_equal(usage_of(da).grantable_bytes, 0);
    memset(diskalloc_region_data(r), 1, 4 * MIB);
    assert_int_equal(diskalloc_region_resize(r, 100), 0);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "large"), 0);
    test_wait_until(nothing_is_charged, da, 30, "the region has gone");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(named_regions_persist_with_all_that_is_known_of_them),
        TEST(an_orderly_end_touches_no_clients_memory),
        TEST(a_bad_configuration_and_bad_run_time_quotas_end_with_78_and_a_sentence),
        TEST(a_second_daemon_is_refused_the_spill_directory),
        TEST(a_socket_that_another_daemon_listens_to_is_not_taken),
        TEST(a_stale_socket_is_taken_over),
        TEST(what_does_not_belong_is_left_alone_and_what_is_half_made_removed),
        TEST(others_cannot_get_at_the_spill_files),
        TEST(a_lowered_limit_takes_nothing_away_over_a_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
