// The SIGBUS guard: an access that the kernel can't carry out goes through, the region says so for ever, and signals
// that have nothing to do with regions go where they went before.
//
// cmocka has a handler of SIGBUS of its own around each test: so each test enables the guard anew.
#include "tests/lib/loop_mount.h"
#include "tests/lib/page_cache.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, PAGES = 16, SIZE = PAGES * PAGE };

// The handler writes it.
struct told {
    struct diskalloc_region *volatile region;
    volatile uint64_t offset;
    volatile int times;
};

static void note(struct diskalloc_region *r, uint64_t offset, void *data)
{
    struct told *told = data;

    told->region = r;
    told->offset = offset;
    told->times++;
}

static void enable(struct told *told)
{
    *told = (struct told){0};
    assert_int_equal(diskalloc_guard_enable(note, told), 0);
}

// ---- Regions that lose their bytes: a caller's file that is made shorter ----

struct scene {
    char dir[64];
    int fd;
    struct diskalloc_region *region;
    volatile char *data;
    struct told told;
};

static void begin(struct scene *s, uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    scratch_make_dir(s->dir, sizeof s->dir);
    s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_return_code(s->fd, errno);
    for (int i = 0; i < PAGES; i++)
        assert_int_equal(pwrite(s->fd, "full", 4, i * PAGE), 4);
    assert_return_code(ftruncate(s->fd, SIZE), errno);
    o.flags = flags;
    o.reserve = 4 << 20; // many fit what ThreadSanitizer leaves
    assert_int_equal(diskalloc_region_from_fd(s->fd, &o, &s->region), 0);
    s->data = diskalloc_region_data(s->region);
    enable(&s->told);
}

static void end(struct scene *s)
{
    diskalloc_region_close(s->region);
    close(s->fd);
    rmdir(s->dir);
}

static void lose_from(struct scene *s, int page)
{
    assert_return_code(ftruncate(s->fd, (off_t)page * PAGE), errno);
}

static void lost_bytes_are_zero_and_the_rest_is_as_it_was(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 0);
    lose_from(&s, 8);
    assert_int_equal(s.data[9 * PAGE + 1], 0);
    assert_ptr_equal(s.told.region, s.region);
    assert_int_equal(s.told.offset, 9 * PAGE);
    assert_int_equal(s.told.times, 1);
    assert_int_equal(s.data[9 * PAGE], 0);
    assert_int_equal(s.told.times, 1);
    assert_int_equal(s.data[7 * PAGE], 'f');
    // stores go through, and stay
    s.data[12 * PAGE + 5] = 'x';
    assert_int_equal(s.told.offset, 12 * PAGE);
    assert_int_equal(s.data[12 * PAGE + 5], 'x');
    assert_int_equal(s.data[12 * PAGE], 0);
    end(&s);
}

static void the_error_stays(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 0);
    assert_int_equal(diskalloc_region_sync(s.region), 0);
    lose_from(&s, 8);
    s.data[8 * PAGE] = 1;
    for (int i = 0; i < 3; i++) {
        EXPECT_FAILURE(-EIO, "diskalloc_region_sync", diskalloc_region_sync(s.region));
        EXPECT_FAILURE(-EIO, "diskalloc_region_commit", diskalloc_region_commit(s.region, 8, 8, 0));
        EXPECT_FAILURE(-EIO, "diskalloc_region_commit", diskalloc_region_commit(s.region, 8, 8, DISKALLOC_DURABLE));
        assert_non_null(strstr(diskalloc_last_error(), "32768"));
        // also when the file is whole again
        assert_return_code(ftruncate(s.fd, SIZE), errno);
    }
    assert_int_equal(diskalloc_region_used(s.region), 0);
    end(&s);
}

static void an_error_that_has_passed_replaces_nothing(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 0);
    lose_from(&s, 8);
    assert_return_code(ftruncate(s.fd, SIZE), errno);
    s.data[9 * PAGE] = 'y';
    assert_int_equal(s.told.times, 0);
    assert_int_equal(diskalloc_region_sync(s.region), 0);
    end(&s);
}

static void a_read_only_region_stays_read_only(void **state)
{
    struct scene s;
    void *page;

    (void)state;
    begin(&s, DISKALLOC_REGION_READ_ONLY);
    lose_from(&s, 8);
    assert_int_equal(s.data[8 * PAGE], 0);
    assert_int_equal(s.told.times, 1);
    // a pipe can read from the page and not write to it
    page = (void *)(uintptr_t)(s.data + 8 * PAGE);
    int ends[2];
    assert_return_code(pipe(ends), errno);
    assert_int_equal(write(ends[1], page, 1), 1);
    assert_int_equal(read(ends[0], page, 1), -1);
    assert_int_equal(errno, EFAULT);
    close(ends[0]);
    close(ends[1]);
    EXPECT_FAILURE(-EIO, "diskalloc_region_sync", diskalloc_region_sync(s.region));
    end(&s);
}

static void bytes_that_are_taken_away_come_back_as_zeros(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 0);
    lose_from(&s, 8);
    for (int i = 8; i < PAGES; i++)
        memset((char *)(uintptr_t)s.data + i * PAGE, 'z', PAGE);
    assert_return_code(ftruncate(s.fd, SIZE), errno);
    // the end in the middle of a page that was replaced
    assert_int_equal(diskalloc_region_resize(s.region, 8 * PAGE + 100), 0);
    assert_int_equal(diskalloc_region_resize(s.region, SIZE), 0);
    assert_int_equal(s.data[8 * PAGE + 99], 'z');
    for (int at = 8 * PAGE + 100; at < SIZE; at++)
        assert_int_equal(s.data[at], 0);
    assert_int_equal(diskalloc_region_discard(s.region, 8 * PAGE, PAGE), 0);
    assert_int_equal(diskalloc_region_restore(s.region, 8 * PAGE, PAGE), 0);
    assert_int_equal(s.data[8 * PAGE + 50], 0);
    end(&s);
}

// The region found is the right one, however many there are, and none that is closed.
static void each_of_many_regions_is_guarded(void **state)
{
    struct scene many[300];

    (void)state;
    for (int i = 0; i < 300; i++)
        begin(&many[i], 0);
    for (int i = 1; i < 300; i += 2)
        end(&many[i]);
    for (int i = 1; i < 300; i += 2)
        begin(&many[i], 0);
    for (int i = 0; i < 300; i++) {
        enable(&many[i].told);
        lose_from(&many[i], 3);
        assert_int_equal(many[i].data[5 * PAGE], 0);
        assert_ptr_equal(many[i].told.region, many[i].region);
    }
    for (int i = 0; i < 300; i++)
        end(&many[i]);
}

// ---- Several threads on one page ----

struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    volatile char *at;
};

static void *store_at_start(void *data)
{
    struct racer *racer = data;

    pthread_barrier_wait(racer->start);
    *racer->at = 'r';
    return NULL;
}

static void no_store_of_threads_that_meet_is_lost(void **state)
{
    enum { RACERS = 4, ROUNDS = SANITIZED ? 20 : 200 };

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct racer racers[RACERS];
        pthread_barrier_t start;
        struct scene s;

        begin(&s, 0);
        lose_from(&s, 0);
        pthread_barrier_init(&start, NULL, RACERS);
        for (int i = 0; i < RACERS; i++) {
            racers[i].start = &start;
            racers[i].at = s.data + 5 * PAGE + i;
            assert_int_equal(pthread_create(&racers[i].thread, NULL, store_at_start, &racers[i]), 0);
        }
        for (int i = 0; i < RACERS; i++)
            pthread_join(racers[i].thread, NULL);
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(*racers[i].at, 'r');
        pthread_barrier_destroy(&start);
        assert_int_equal(s.told.times, 1);
        end(&s);
    }
}

// ---- Forked children ----

static int status_of_child(struct scene *s)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        s->data[9 * PAGE] = 'c';
        _exit(s->data[9 * PAGE] == 'c' && s->told.times == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_child_replaces_pages_for_itself(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 0);
    lose_from(&s, 8);
    assert_int_equal(status_of_child(&s), 0);
    assert_int_equal(s.told.times, 0);
    assert_int_equal(s.data[9 * PAGE], 0);
    end(&s);
}

// ---- SIGBUS that has nothing to do with a region ----

struct foreign {
    int fd;
    char *data;
};

static void foreign_make(struct foreign *f)
{
    f->fd = memfd_create("foreign", MFD_CLOEXEC);
    assert_return_code(ftruncate(f->fd, PAGE), errno);
    f->data = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    assert_ptr_not_equal(f->data, MAP_FAILED);
    assert_return_code(ftruncate(f->fd, 0), errno);
}

static struct foreign foreign;
static volatile int handled;
static void *volatile handled_at;

static void mend_foreign(void)
{
    handled++;
    if (ftruncate(foreign.fd, PAGE) < 0)
        _exit(3);
}

static void plain_handler(int number)
{
    (void)number;
    mend_foreign();
}

static void full_handler(int number, siginfo_t *info, void *context)
{
    sigset_t now;

    (void)number, (void)context;
    handled_at = info->si_addr;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    if (!sigismember(&now, SIGUSR2))
        _exit(4);
    mend_foreign();
}

static void use_handlers(void *data)
{
    struct sigaction full = {.sa_sigaction = full_handler, .sa_flags = SA_SIGINFO};
    struct told told;
    sigset_t now;

    (void)data;
    foreign_make(&foreign);
    signal(SIGBUS, plain_handler);
    enable(&told);
    assert_int_equal(*(volatile char *)foreign.data, 0);
    assert_int_equal(handled, 1);
    // another handler, and the guard again above it
    sigaddset(&full.sa_mask, SIGUSR2);
    assert_return_code(sigaction(SIGBUS, &full, NULL), errno);
    enable(&told);
    assert_return_code(ftruncate(foreign.fd, 0), errno);
    assert_int_equal(*(volatile char *)(foreign.data + 8), 0);
    assert_int_equal(handled, 2);
    assert_ptr_equal(handled_at, foreign.data + 8);
    assert_int_equal(told.times, 0);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    assert_false(sigismember(&now, SIGUSR2));
    // sent by somebody
    raise(SIGBUS);
    assert_int_equal(handled, 3);
}

static void handlers_of_the_program_get_what_is_theirs(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(use_handlers, NULL, (uid_t)-1), 0);
}

static void touch_foreign(void *data)
{
    struct told told;

    foreign_make(&foreign);
    signal(SIGBUS, data ? SIG_IGN : SIG_DFL);
    enable(&told);
    *(volatile char *)foreign.data = 1;
}

static void send_to_itself(void *data)
{
    struct told told;

    signal(SIGBUS, data ? SIG_IGN : SIG_DFL);
    enable(&told);
    raise(SIGBUS);
}

static void assert_ended_by_sigbus(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void without_a_handler_the_process_ends(void **state)
{
    int ignored = 1;

    (void)state;
    assert_ended_by_sigbus(test_in_child(touch_foreign, NULL, (uid_t)-1));
    // the kernel does not let a process ignore a fault
    assert_ended_by_sigbus(test_in_child(touch_foreign, &ignored, (uid_t)-1));
    assert_ended_by_sigbus(test_in_child(send_to_itself, NULL, (uid_t)-1));
    assert_int_equal(test_in_child(send_to_itself, &ignored, (uid_t)-1), 0);
}

static void touch_without_guard(void *data)
{
    struct scene *s = data;

    signal(SIGBUS, SIG_DFL);
    s->data[9 * PAGE] = 1;
}

static void without_the_guard_it_is_sigbus(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 0);
    lose_from(&s, 8);
    assert_ended_by_sigbus(test_in_child(touch_without_guard, &s, (uid_t)-1));
    end(&s);
}

static void (*chained_to)(int, siginfo_t *, void *);

static void chain(int number, siginfo_t *info, void *context)
{
    chained_to(number, info, context);
}

// A handler installed later, which calls the guard's, and which the guard would call in turn.
static void chain_in_a_circle(void *data)
{
    struct sigaction ours = {.sa_sigaction = chain, .sa_flags = SA_SIGINFO}, before;
    struct told told;

    (void)data;
    signal(SIGBUS, SIG_DFL);
    enable(&told);
    assert_return_code(sigaction(SIGBUS, &ours, &before), errno);
    chained_to = before.sa_sigaction;
    enable(&told);
    foreign_make(&foreign);
    *(volatile char *)foreign.data = 1;
}

static sigjmp_buf way_out;

static void jump_out(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}

// As programs do that read files which others make shorter.
static void jump_out_of_the_handler(void *data)
{
    struct told told;
    volatile int jumps = 0;

    (void)data;
    signal(SIGBUS, jump_out);
    enable(&told);
    foreign_make(&foreign);
    if (sigsetjmp(way_out, 1))
        jumps++;
    if (jumps < 5)
        *(volatile char *)foreign.data = 1;
    assert_int_equal(jumps, 5);
}

static void a_handler_may_jump_out(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(jump_out_of_the_handler, NULL, (uid_t)-1), 0);
}

static void handlers_in_a_circle_end_the_process(void **state)
{
    (void)state;
    assert_ended_by_sigbus(test_in_child(chain_in_a_circle, NULL, (uid_t)-1));
}

// ---- Errors of a disk ----

// The image under the disk is cut: what was not in memory can't be read any more.
static void real_errors(bool remote)
{
    enum { BYTES = 8 << 20 };
    struct diskalloc_region *r;
    struct test_backend b;
    struct test_mount m;
    struct told told;
    volatile uint8_t *data;
    char spill[200];
    int lost = 0;

    if (!test_mount(&m, "ext4", 64 << 20))
        skip();
    snprintf(spill, sizeof spill, "%s/spill", m.at);
    assert_return_code(mkdir(spill, 0700), errno);
    backend_start(&b, remote, NULL, spill);
    r = make_region(b.da, BYTES);
    enable(&told);
    data = diskalloc_region_data(r);
    assert_true(fill_and_drop(r));
    assert_return_code(truncate(m.image, 1 << 20), errno);
    for (uint64_t at = 0; at < BYTES; at += PAGE) {
        assert_true(data[at] == content_of(at) || data[at] == 0);
        lost += data[at] != content_of(at);
        data[at] = 7;
        assert_int_equal(data[at], 7);
    }
    assert_true(lost > 0);
    assert_int_equal(told.times, lost);
    EXPECT_FAILURE(-EIO, "diskalloc_region_sync", diskalloc_region_sync(r));
    EXPECT_FAILURE(-EIO, "diskalloc_region_sync", diskalloc_region_sync(r));
    diskalloc_region_close(r);
    backend_stop(&b);
    test_unmount(&m);
}

static void errors_of_a_disk_with_a_daemon(void **state)
{
    (void)state;
    real_errors(true);
}

static void errors_of_a_disk_embedded(void **state)
{
    (void)state;
    real_errors(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lost_bytes_are_zero_and_the_rest_is_as_it_was),
        TEST(the_error_stays),
        TEST(an_error_that_has_passed_replaces_nothing),
        TEST(a_read_only_region_stays_read_only),
        TEST(bytes_that_are_taken_away_come_back_as_zeros),
        TEST(each_of_many_regions_is_guarded),
        TEST(no_store_of_threads_that_meet_is_lost),
        TEST(a_child_replaces_pages_for_itself),
        TEST(handlers_of_the_program_get_what_is_theirs),
        TEST(without_a_handler_the_process_ends),
        TEST(without_the_guard_it_is_sigbus),
        TEST(a_handler_may_jump_out),
        TEST(handlers_in_a_circle_end_the_process),
        TEST(errors_of_a_disk_with_a_daemon),
        TEST(errors_of_a_disk_embedded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
