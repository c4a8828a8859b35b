// The event loop: it runs instant work itself, and another thread takes it over when that work hangs.
#include "daemon/work/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/work/worker.h"
#include "tests/lib/harness.h"

enum { N_WORKERS = 4 };

struct instant {
    struct work work;
    struct turner *turner;
    sem_t *started, *go;
    long run_by, done_by; // threads
    unsigned pause_us;
    int n_done, again;
    _Atomic bool has_begun;
};

struct turner {
    struct event_base *base;
    struct event *timer;
    struct event *tick; // until the loop runs instant work itself
    struct worker_pool *pool;
    struct loop *loop;
    struct instant *items; // to be submitted as soon as the loop runs instant work itself, which PROBE finds out
    struct instant probe;
    int n_left, n_ticks;
    int inside; // in the event loop: one thread at most
    sem_t ticked, started, go;
};

static long this_thread(void)
{
    return syscall(SYS_gettid);
}

static enum work_status run_instant(struct work *w)
{
    struct instant *item = (struct instant *)w;
    struct timespec pause = {.tv_nsec = item->pause_us * 1000L};

    item->run_by = this_thread();
    item->has_begun = true;
    if (item->started)
        sem_post(item->started);
    if (item->go)
        sem_wait(item->go);
    if (item->pause_us > 0)
        nanosleep(&pause, NULL);
    return item->again-- > 0 ? WORK_AGAIN : WORK_DONE;
}

static void instant_done(struct work *w)
{
    struct instant *item = (struct instant *)w;
    struct turner *t = item->turner;

    assert_int_equal(t->inside++, 0);
    item->done_by = this_thread();
    item->n_done++;
    if (--t->n_left == 0)
        event_base_loopbreak(t->base);
    t->inside--;
}

static void submit_instant(struct turner *t, struct instant *item)
{
    item->turner = t;
    item->work = (struct work){.brief = true, .instant = true, .run = run_instant, .done = instant_done};
    worker_submit(t->pool, &item->work);
}

static void probe_done(struct work *w)
{
    struct instant *item = (struct instant *)w;

    item->done_by = this_thread();
    item->n_done++;
}

// Whether the loop's thread has run instant work itself: it does as soon as another thread stands by.
static bool loop_runs_work(struct turner *t)
{
    const bool has_run = t->probe.n_done > 0;

    if (has_run && t->probe.run_by == t->probe.done_by)
        return true;
    if (has_run || !t->probe.turner) {
        t->probe = (struct instant){.turner = t};
        t->probe.work = (struct work){.brief = true, .instant = true, .run = run_instant, .done = probe_done};
        worker_submit(t->pool, &t->probe.work);
    }
    return false;
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    static const struct timeval soon = {.tv_usec = 100};
    struct turner *t = data;

    (void)fd;
    (void)what;
    assert_int_equal(t->inside++, 0);
    t->n_ticks++;
    // From the loop's thread, and after the other thread has taken the loop over.
    if (t->items && loop_runs_work(t)) {
        submit_instant(t, t->items);
        t->items = NULL;
    }
    sem_post(&t->ticked);
    event_add(t->timer, &soon);
    t->inside--;
}

static void turner_init(struct turner *t)
{
    static const struct timeval later = {.tv_usec = 20000};

    *t = (struct turner){.base = event_base_new()};
    assert_int_equal(worker_pool_new(t->base, N_WORKERS, &t->pool), 0);
    assert_int_equal(loop_new(t->base, t->pool, &t->loop), 0);
    t->timer = evtimer_new(t->base, on_tick, t);
    event_add(t->timer, &later);
    sem_init(&t->ticked, 0, 0);
    sem_init(&t->started, 0, 0);
    sem_init(&t->go, 0, 0);
}

static void turner_deinit(struct turner *t)
{
    assert_true(loop_stop(t->loop, 10000));
    assert_true(worker_pool_stop(t->pool, 10000));
    loop_free(t->loop);
    worker_pool_free(t->pool);
    event_free(t->timer);
    event_base_free(t->base);
}

static void instant_work_is_run_by_the_thread_that_turns_the_loop(void **state)
{
    struct instant item = {0};
    struct turner t;

    (void)state;
    turner_init(&t);
    t.items = &item;
    t.n_left = 1;
    assert_int_equal(loop_run(t.loop), 0);
    assert_int_equal(item.n_done, 1);
    // Unless it was held up so long that the other thread has taken over: then it was done elsewhere, once.
    if (item.run_by == item.done_by)
        assert_int_not_equal(item.run_by, getpid());
    turner_deinit(&t);
}

static void *let_go_when_the_loop_has_turned(void *data)
{
    struct turner *t = data;

    sem_wait(&t->started);
    while (sem_trywait(&t->ticked) == 0)
        continue;
    // While the work hangs the loop goes on.
    for (int i = 0; i < 20; i++)
        sem_wait(&t->ticked);
    sem_post(&t->go);
    return NULL;
}

static void while_instant_work_hangs_another_thread_turns_the_loop(void **state)
{
    struct instant item = {0};
    struct turner t;
    pthread_t helper;

    (void)state;
    for (int again = 0; again < 2; again++) {
        turner_init(&t);
        item = (struct instant){.started = &t.started, .go = &t.go, .again = again};
        t.items = &item;
        t.n_left = 1;
        if (again)
            sem_post(&t.go); // the second piece does not hang
        assert_int_equal(pthread_create(&helper, NULL, let_go_when_the_loop_has_turned, &t), 0);
        assert_int_equal(loop_run(t.loop), 0);
        pthread_join(helper, NULL);
        assert_int_equal(item.n_done, 1);
        assert_int_not_equal(item.done_by, item.run_by);
        turner_deinit(&t);
    }
}

// Three pieces of work: the first one hangs; the second one is of another lane; the third one of the first one's lane.
enum { HANGS, OTHER_LANE, SAME_LANE };

static void done_last(struct work *w)
{
    struct instant *item = (struct instant *)w;

    item->done_by = this_thread();
    item->n_done++;
    event_base_loopbreak(item->turner->base);
}

// Submits the other lane's work again and again, until the loop's own thread runs it while the first piece hangs.
static void done_elsewhere_or_here(struct work *w)
{
    struct instant *item = (struct instant *)w, *same_lane = item + SAME_LANE - OTHER_LANE;
    struct turner *t = item->turner;

    item->done_by = this_thread();
    if ((item + HANGS - OTHER_LANE)->has_begun && item->run_by == item->done_by) {
        item->n_done++;
        same_lane->turner = t;
        same_lane->work = (struct work){.brief = true, .instant = true, .run = run_instant, .done = done_last};
        worker_submit(t->pool, &same_lane->work);
        return;
    }
    item->work = (struct work){
        .lane = OTHER_LANE, .brief = true, .instant = true, .run = run_instant, .done = done_elsewhere_or_here};
    worker_submit(t->pool, &item->work);
}

static void a_thread_that_hangs_is_replaced_and_its_lane_is_not_trusted(void **state)
{
    struct instant items[3] = {0};
    struct turner t;

    (void)state;
    turner_init(&t);
    items[HANGS].started = &t.started;
    items[HANGS].go = &t.go;
    t.items = &items[HANGS];
    t.n_left = 2;
    items[OTHER_LANE].turner = &t;
    done_elsewhere_or_here(&items[OTHER_LANE].work);
    assert_int_equal(loop_run(t.loop), 0);
    sem_wait(&t.started);
    assert_int_equal(items[OTHER_LANE].n_done, 1);
    assert_int_equal(items[SAME_LANE].n_done, 1);
    assert_int_not_equal(items[SAME_LANE].run_by, items[SAME_LANE].done_by);
    assert_false(loop_stop(t.loop, 0)); // the first piece hangs still
    sem_post(&t.go);
    turner_deinit(&t);
}

static void a_loop_that_ends_tells_of_a_thread_that_hangs(void **state)
{
    struct instant hanging = {0}, ends = {0};
    struct turner t;

    (void)state;
    turner_init(&t);
    hanging.started = &t.started;
    hanging.go = &t.go;
    t.items = &hanging;
    t.n_left = 1;
    ends.go = &t.started;      // of the first piece
    submit_instant(&t, &ends); // nobody stands in yet: a worker does it, and the loop ends with it
    assert_int_equal(loop_run(t.loop), 0);
    assert_false(loop_stop(t.loop, 0));
    sem_post(&t.go);
    turner_deinit(&t);
}

static void work_that_is_now_late_and_now_not_is_done_once_each(void **state)
{
    enum { ROUNDS = 40 };
    struct instant items[ROUNDS] = {0};
    struct turner t;
    unsigned seed = 1;

    (void)state;
    turner_init(&t);
    for (int i = 0; i < ROUNDS; i++)
        items[i].pause_us = (unsigned)rand_r(&seed) % 4000;
    t.n_left = 1;
    for (int i = 0; i < ROUNDS; i++) {
        t.items = &items[i];
        t.n_left = 1;
        assert_int_equal(loop_run(t.loop), 0);
        assert_true(loop_stop(t.loop, 10000));
        loop_free(t.loop);
        assert_int_equal(items[i].n_done, 1);
        assert_int_equal(loop_new(t.base, t.pool, &t.loop), 0);
    }
    turner_deinit(&t);
}

// ---- Events have their turn, however much instant work there is ----

enum { MANY = 64, PIECE_US = 30, MOST_A_TURN = 8 };

struct flood {
    struct turner t;
    struct event *each_turn;
    struct instant items[MANY];
    int n_done_at_turn, most_a_turn;
};

static struct flood flood;
static const struct timeval soon = {.tv_usec = 20000}; // by then a thread stands by

static int count_done(void)
{
    int n = 0;

    for (int i = 0; i < MANY; i++)
        n += flood.items[i].n_done;
    return n;
}

static void on_turn(evutil_socket_t fd, short what, void *data)
{
    static const struct timeval at_once = {0};
    int n = count_done();

    (void)fd;
    (void)what;
    (void)data;
    if (n == 0 && flood.t.n_left == 0) {
        flood.t.n_left = MANY;
        for (int i = 0; i < MANY; i++) {
            flood.items[i].pause_us = PIECE_US;
            submit_instant(&flood.t, &flood.items[i]);
        }
    }
    if (n - flood.n_done_at_turn > flood.most_a_turn)
        flood.most_a_turn = n - flood.n_done_at_turn;
    flood.n_done_at_turn = n;
    event_add(flood.each_turn, &at_once);
}

// Of the work that the loop runs itself, and of the work that the workers have done.
static void events_have_their_turn_however_much_instant_work_there_is(void **state)
{
    (void)state;
    memset(&flood, 0, sizeof flood);
    turner_init(&flood.t);
    flood.each_turn = evtimer_new(flood.t.base, on_turn, NULL);
    event_add(flood.each_turn, &soon);
    assert_int_equal(loop_run(flood.t.loop), 0);
    assert_int_equal(count_done(), MANY);
    if (MANY - flood.n_done_at_turn > flood.most_a_turn) // the last turn
        flood.most_a_turn = MANY - flood.n_done_at_turn;
    assert_in_range(flood.most_a_turn, 1, MOST_A_TURN);
    event_free(flood.each_turn);
    turner_deinit(&flood.t);
}

// ---- Work that is slow, and work that only waits for a processor ----

enum { SLOW_LANE = 7, QUICK_LANE = 8, SLOW_PAUSE_US = 900, MOST_TRIES = 500 };

static struct instant slow, again, other;

static void done_so_far(struct work *w)
{
    struct instant *item = (struct instant *)w;

    item->done_by = this_thread();
    item->n_done++;
    if (w == &slow.work) {
        again.work.lane = SLOW_LANE;
        other.work.lane = QUICK_LANE;
        worker_submit(item->turner->pool, &again.work);
        worker_submit(item->turner->pool, &other.work);
    } else if (--item->turner->n_left == 0) {
        event_base_loopbreak(item->turner->base);
    }
}

static void prepare_slow(struct turner *t, struct instant *item, unsigned pause_us)
{
    *item = (struct instant){.turner = t, .pause_us = pause_us};
    item->work = (struct work){.brief = true, .instant = true, .run = run_instant, .done = done_so_far};
}

static void on_slow_tick(evutil_socket_t fd, short what, void *data)
{
    struct turner *t = data;

    (void)fd;
    (void)what;
    if (!loop_runs_work(t))
        return;
    event_del(t->tick);
    worker_submit(t->pool, &slow.work);
}

// True: the lane of the slow work got a worker, and another lane did not.
static bool only_the_slow_lane_is_sent_away(void)
{
    struct turner t;

    turner_init(&t);
    event_del(t.timer);
    prepare_slow(&t, &slow, SLOW_PAUSE_US);
    prepare_slow(&t, &again, 0);
    prepare_slow(&t, &other, 0);
    slow.work.lane = SLOW_LANE;
    t.n_left = 2;
    t.tick = event_new(t.base, -1, EV_PERSIST, on_slow_tick, &t);
    event_add(t.tick, &soon);
    assert_int_equal(loop_run(t.loop), 0);
    event_free(t.tick);
    turner_deinit(&t);
    return again.run_by != again.done_by && other.run_by == other.done_by;
}

// On a busy machine the slow work may have been preempted, which counts for nothing, or be taken for work that hangs.
static void a_lane_whose_work_was_slow_gets_workers_and_others_do_not(void **state)
{
    int n = 0;

    (void)state;
    while (!only_the_slow_lane_is_sent_away())
        assert_in_range(++n, 1, MOST_TRIES);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t took_us;

static enum work_status run_busily(struct work *w)
{
    struct instant *item = (struct instant *)w;
    uint64_t begin = now_us();

    item->run_by = this_thread();
    while (now_us() - begin < 10000)
        continue;
    took_us = now_us() - begin;
    return WORK_DONE;
}

static void submit_busy_work(evutil_socket_t fd, short what, void *data)
{
    struct turner *t = data;

    (void)fd;
    (void)what;
    if (!loop_runs_work(t))
        return;
    event_del(t->tick);
    slow.turner = t;
    slow.work = (struct work){.brief = true, .instant = true, .run = run_busily, .done = instant_done};
    worker_submit(t->pool, &slow.work);
}

// It is not held up by anything: another thread would not be faster.
static void work_that_uses_the_processor_keeps_the_loop(void **state)
{
    struct turner t;

    (void)state;
    do {
        turner_init(&t);
        event_del(t.timer);
        slow = (struct instant){0};
        t.n_left = 1;
        t.tick = event_new(t.base, -1, EV_PERSIST, submit_busy_work, &t);
        event_add(t.tick, &soon);
        assert_int_equal(loop_run(t.loop), 0);
        event_free(t.tick);
        turner_deinit(&t);
    } while (took_us > 40000); // others had the processor for so long that the loop was taken over
    assert_int_equal(slow.run_by, slow.done_by);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(instant_work_is_run_by_the_thread_that_turns_the_loop),
        TEST(while_instant_work_hangs_another_thread_turns_the_loop),
        TEST(a_thread_that_hangs_is_replaced_and_its_lane_is_not_trusted),
        TEST(a_loop_that_ends_tells_of_a_thread_that_hangs),
        TEST(work_that_is_now_late_and_now_not_is_done_once_each),
        TEST(events_have_their_turn_however_much_instant_work_there_is),
        TEST(a_lane_whose_work_was_slow_gets_workers_and_others_do_not),
        TEST(work_that_uses_the_processor_keeps_the_loop),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
