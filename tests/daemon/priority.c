// Which threads the processors go to first: niceness, and slices of time as the kernel tells them.
#include "daemon/work/priority.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/harness.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_daemon.h"

enum { SHORT_NS = 100 * 1000 };

// As linux/sched/types.h has it, which can't be included beside sched.h.
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static struct attributes attributes_of(pid_t tid)
{
    struct attributes a = {0};

    assert_return_code(syscall(SYS_sched_getattr, tid, &a, sizeof a, 0U), errno);
    return a;
}

static void *become_normal(void *data)
{
    *(struct attributes *)data = attributes_of(0);
    priority_normal();
    ((struct attributes *)data)[1] = attributes_of(0);
    return NULL;
}

static void *look_at_each(void *data)
{
    struct attributes inherited[2], before = attributes_of(0), quick, normal, low;
    pthread_t thread;

    (void)data;
    priority_quick();
    quick = attributes_of(0);
    assert_int_equal(pthread_create(&thread, NULL, become_normal, inherited), 0);
    pthread_join(thread, NULL);
    priority_normal();
    normal = attributes_of(0);
    priority_low();
    low = attributes_of(0);
    assert_int_equal(quick.nice, before.nice);
    assert_int_equal(normal.nice, before.nice);
    assert_int_equal(low.nice, before.nice + 10 < 19 ? before.nice + 10 : 19);
    assert_int_equal(normal.runtime, before.runtime);
    assert_int_equal(low.runtime, before.runtime);
    assert_int_equal(inherited[1].runtime, before.runtime);
    if (quick.runtime == before.runtime)
        print_message("[ NOTE     ] this kernel gives all threads the same slices\n");
    else
        assert_int_equal(quick.runtime, SHORT_NS);
    return NULL;
}

static void each_priority_is_what_it_says(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, look_at_each, NULL), 0);
    pthread_join(thread, NULL);
}

static unsigned count_quick_threads(pid_t pid)
{
    char path[64];
    const struct dirent *e;
    unsigned n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)))
        if (e->d_name[0] != '.')
            n += attributes_of((pid_t)strtol(e->d_name, NULL, 10)).runtime == SHORT_NS;
    closedir(dir);
    return n;
}

// The thread that turns the loop, and the one that stands by.
static void the_loops_threads_are_quick(void **state)
{
    struct test_daemon d;
    struct raw c;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK)); // both have begun
    if (attributes_of(0).runtime > 0)
        assert_int_equal(count_quick_threads(d.pid), 2);
    else
        print_message("[ NOTE     ] this kernel gives all threads the same slices\n");
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_priority_is_what_it_says),
        TEST(the_loops_threads_are_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
