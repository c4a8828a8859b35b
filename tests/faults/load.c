// See load.h.
#include "tests/faults/load.h"

#include <dirent.h>
#include <diskalloc/vec.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/actor.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

enum { REFUSALS = 30, SUCCESSES = 30, MEMBERS = 40000, REGIONS = 40 };

static bool is_refusal(int e)
{
    // EROFS: of a sync, as the kernel says.
    static const int known[] = {ENOSPC, EDQUOT, EIO, EMFILE, ETIMEDOUT, ECONNRESET, ESTALE, ENOENT, EROFS};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (e == -known[i])
            return true;
    return false;
}

// True if the call with the result E has succeeded.
static bool count(struct load *load, int e)
{
    if (e >= 0) {
        load->n_done++;
        return true;
    }
    load->n_refused++;
    if (!is_refusal(e))
        fprintf(stderr, "%d: %s\n", e, diskalloc_last_error());
    NEED(is_refusal(e));
    NEED(diskalloc_last_error()[0]);
    return false;
}

static void push_and_drop(struct load *load, struct diskalloc *da)
{
    struct numbers v;
    uint64_t n = 0;
    int e = 0;

    if (!count(load, numbers_init(&v, da)))
        return;
    while (n < MEMBERS && (e = numbers_push(&v, n * 7)) == 0)
        n++;
    count(load, e);
    NEED(v.len == n);
    for (uint64_t i = 0; i < n; i++)
        NEED(v.data[i] == i * 7);
    numbers_deinit(&v);
}

static void grow_and_shrink(struct load *load, struct diskalloc *da)
{
    struct diskalloc_region *r;

    if (!count(load, diskalloc_region_create(da, NULL, &r)))
        return;
    if (count(load, diskalloc_region_resize(r, 4 * MIB))) {
        memset(diskalloc_region_data(r), 3, 4 * MIB);
        if (count(load, diskalloc_region_discard(r, MIB, MIB)))
            count(load, diskalloc_region_restore(r, MIB, MIB));
        // An error of the disk is told again and again: the kernel tells it once.
        if (diskalloc_region_sync(r) == -EIO)
            NEED(!count(load, diskalloc_region_sync(r)));
        count(load, diskalloc_region_resize(r, MIB));
        NEED(diskalloc_region_size(r) >= MIB);
        for (uint64_t i = 0; i < MIB; i += 512)
            NEED(((uint8_t *)diskalloc_region_data(r))[i] == 3);
    }
    diskalloc_region_close(r);
}

static void make_many(struct load *load, struct diskalloc *da)
{
    struct diskalloc_region *regions[REGIONS];
    unsigned n = 0;

    while (n < REGIONS && count(load, diskalloc_region_create(da, NULL, &regions[n])))
        n++;
    while (n > 0)
        diskalloc_region_close(regions[--n]);
}

static void open_and_unlink(struct load *load, struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    char name[32];

    snprintf(name, sizeof name, "of-%d", (int)getpid());
    o.size = 100 * KIB;
    o.flags = DISKALLOC_REGION_CREATE;
    if (!count(load, diskalloc_region_open(da, name, &o, &r)))
        return;
    count(load, diskalloc_region_commit(r, 8 * KIB, 8, 0));
    diskalloc_region_close(r);
    for (int e = -1; e < 0 && e != -ENOENT && !load->stop;) // also when the disk is well again
        count(load, e = diskalloc_region_unlink(da, name));
}

static void work(const struct load_scene *s)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da;

    signal(SIGBUS, SIG_DFL); // cmocka's would go on with the next test
    o.reconnect_timeout_ms = 1000;
    NEED(diskalloc_open(s->daemon.address, &o, &da) == 0);
    while (!s->load->stop) {
        push_and_drop(s->load, da);
        grow_and_shrink(s->load, da);
        make_many(s->load, da);
        open_and_unlink(s->load, da);
    }
    diskalloc_close(da);
}

static bool has_done(void *data)
{
    struct load_scene *s = data;

    return s->load->n_done >= s->least;
}

static bool has_refused(void *data)
{
    struct load_scene *s = data;

    return s->load->n_refused >= s->least;
}

void load_await_done(struct load_scene *s)
{
    s->least = s->load->n_done + SUCCESSES;
    test_wait_until(has_done, s, 60, "calls that succeed");
}

void load_await_refused(struct load_scene *s)
{
    s->least = s->load->n_refused + REFUSALS;
    test_wait_until(has_refused, s, 60, "calls that are refused");
}

// On what is mounted at s->mount.
void load_begin(struct load_scene *s)
{
    snprintf(s->spill, sizeof s->spill, "%s/spill", s->mount.at);
    assert_true(mkdir(s->spill, 0700) == 0 || errno == EEXIST);
    test_daemon_start(&s->daemon, NULL, s->spill);
    s->load = mmap(NULL, sizeof *s->load, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s->load != MAP_FAILED);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        s->programs[i] = fork();
        if (s->programs[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(s);
            _exit(0);
        }
    }
    load_await_done(s);
}

static bool is_empty(void *data)
{
    struct diskalloc_usage usage;

    return diskalloc_get_usage(data, "total", &usage, sizeof usage) == 0 && usage.bytes == 0 && usage.regions == 0;
}

static void remove_names(struct load_scene *s, struct diskalloc *da)
{
    char name[32];

    for (unsigned i = 0; i < PROGRAMS; i++) {
        snprintf(name, sizeof name, "of-%d", (int)s->programs[i]);
        diskalloc_region_unlink(da, name);
    }
}

// MAY_LOSE: the disk has lost writes, or is gone: memory on it may raise SIGBUS, and lose what was stored.
void load_end_programs(struct load_scene *s, bool may_lose)
{
    int status;

    s->load->stop = true;
    for (unsigned i = 0; i < PROGRAMS; i++) {
        assert_int_equal(waitpid(s->programs[i], &status, 0), s->programs[i]);
        if (status != 0 && !(may_lose && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS))
            fail_msg("a program ended with wait status 0x%x", (unsigned)status);
    }
}

void load_finish(struct load_scene *s)
{
    print_message("[ NOTE     ] %u calls succeeded, %u were refused\n", s->load->n_done, s->load->n_refused);
    munmap(s->load, sizeof *s->load);
    test_daemon_stop_and_remove(&s->daemon);
    test_unmount(&s->mount);
}

// Nothing is charged and nothing is left of programs that have ended.
void load_check_empty(struct load_scene *s)
{
    struct diskalloc *da;
    char dir[240];

    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    remove_names(s, da);
    test_wait_until(is_empty, da, 60, "nothing is charged any more");
    diskalloc_close(da);
    snprintf(dir, sizeof dir, "%s/%u", s->spill, (unsigned)geteuid());
    assert_int_equal(test_count_files(dir), 0);
}

// The disk is well again: everything goes on.
void load_end_well(struct load_scene *s, bool may_lose)
{
    load_await_done(s);
    load_end_programs(s, may_lose);
    load_check_empty(s);
    load_finish(s);
}

bool load_shell(const char *format, const char *at)
{
    char command[600];

    snprintf(command, sizeof command, format, at);
    return system(command) == 0;
}
