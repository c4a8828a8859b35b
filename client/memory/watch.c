// When to look at how regions are read.
//
// Telling how a region is read (client/memory/pattern.c) costs some milliseconds, and is of no use to regions that fit
// into memory.  So there are three gates.
//   - The regions of the client, together, have more bytes than the pages of files may take (pressure.c).  That is
//     compared when their sum has doubled, or has come to three quarters of the memory (0.2 ms the first time, on the
//     client's thread if that runs); only at three quarters is a thread started for it.
//   - The pages of files take nearly all of that memory.
//   - The process waits for the disk: its major faults (getrusage(2)) are counted every 50 to 250 ms.  A scan causes
//     nearly none, because the kernel reads ahead.  Or it announces scattered reads, which then cause none either.  Or
//     it reads more bytes from the disk than it can have touched, as strides do, which look like a scan to the kernel:
//     a thread loads some 10 to 20 GB/s, so a GiB that has cost less than 10 ms of computing was hardly touched.  (The
//     kernel tells that time from samples, 4 to 10 ms apart: therefore a GiB.)
// Behind them, a round of looks is made each 50 ms.  A region is looked at in each, unless the round has taken 5 ms
// already: then the rest follows in the next round.
//
// Threads: the client's thread runs the task.  The program's threads say how large their regions are.  Lock order: a
// region's lock, then this one, then the background's.  The task holds this lock and only tries a region's.  Memory is
// asked for without the lock, because that allocates, and an allocation may grow a region.
#include "client/memory/watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

#define MIB ((uint64_t)1 << 20)
#define SMALLEST (32 * MIB)
#define FIRST_ASKED (64 * MIB)
#define SPARSE_BYTES (1024 * MIB)

enum {
    PAUSE_MS = 50,
    LONGEST_PAUSE_MS = 250,
    IDLE_PAUSE_MS = 1000, // while all fits, but barely
    ASK_AGAIN_MS = 1000,
    ASK_SOON_MS = 100, // while there is room
    ROUND_US = 5000,
    FEW_MAJORS = 2,
    SPARSE_US = 10000,     // of computing, for SPARSE_BYTES
    SPARSE_MS = 1000,      // the time for which that counts
    BLOCK = 512,           // bytes: getrusage counts such
    SOME_ROUNDS = 10,      // without a look, before the pauses become longer
    FORGOTTEN_ROUNDS = 15, // without a look: then the last look says nothing about the next
};

static uint64_t most_of(uint64_t memory)
{
    return memory - memory / 4;
}

static uint64_t ask_next_at(uint64_t total, uint64_t most)
{
    return total < most && most < total * 2 ? most : u64_max(total * 2, FIRST_ASKED);
}

static void measure_sparseness(struct watch *w, const struct rusage *u)
{
    uint64_t bytes = (uint64_t)u->ru_inblock * BLOCK, now = clock_now();
    uint64_t user = (uint64_t)u->ru_utime.tv_sec * 1000000 + (uint64_t)u->ru_utime.tv_usec;

    if (!w->full || user - w->user > SPARSE_US * ((bytes - w->bytes) / SPARSE_BYTES + 1)) {
        w->bytes = bytes;
        w->user = user;
    } else if (bytes - w->bytes >= SPARSE_BYTES) {
        w->sparse_until = now + SPARSE_MS;
        w->bytes = bytes;
        w->user = user;
    }
    w->sparse = now < w->sparse_until;
}

// Returns how many major faults there were since the last call.
static uint64_t look_at_process(struct watch *w)
{
    uint64_t before = w->majors;
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) < 0)
        return 0;
    w->majors = (uint64_t)u.ru_majflt;
    measure_sparseness(w, &u);
    return w->majors - before;
}

static void ask_for_memory(struct watch *w)
{
    uint64_t now = clock_now();

    if (w->asked && now - w->asked < (w->full ? ASK_AGAIN_MS : ASK_SOON_MS))
        return;
    w->memory = pressure_memory(&w->pressure, &w->full);
    w->asked = now;
}

// Looks at the next region, or goes on with it.  False: the round is over.
static bool look_at_next(struct watch *w)
{
    struct watch_entry *e;

    pthread_mutex_lock(&w->lock);
    e = w->next;
    w->unfinished = e && e->look(e, w->n_quiet < FORGOTTEN_ROUNDS);
    if (e && !w->unfinished)
        w->next = TAILQ_NEXT(e, entry);
    pthread_mutex_unlock(&w->lock);
    return e != NULL;
}

static void begin_round(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    if (!w->next)
        w->next = TAILQ_FIRST(&w->list);
    pthread_mutex_unlock(&w->lock);
    w->n_rounds++;
}

static enum background_result pause_for(struct watch *w, unsigned ms)
{
    w->task.pause_ms = ms;
    return BACKGROUND_LATER;
}

// A program that waited for the disk is likely to do so again.
static enum background_result make_no_round(struct watch *w)
{
    unsigned last = w->task.pause_ms;

    if (++w->n_quiet < SOME_ROUNDS || last < PAUSE_MS)
        return pause_for(w, PAUSE_MS);
    return pause_for(w, last * 2 < LONGEST_PAUSE_MS ? last * 2 : LONGEST_PAUSE_MS);
}

static enum background_result make_round(struct watch *w)
{
    uint64_t end = clock_now_us() + ROUND_US;

    if (!w->unfinished)
        begin_round(w);
    while (look_at_next(w) && !w->unfinished && clock_now_us() < end)
        ;
    if (w->unfinished)
        return BACKGROUND_MORE;
    w->n_quiet = 0;
    return pause_for(w, PAUSE_MS);
}

// All fits easily.  A thread of the program that makes it too much meanwhile finds the task awake, or its sum is seen.
static bool is_over(struct watch *w)
{
    uint64_t most = most_of(w->memory);

    w->awake = w->total >= most;
    if (w->awake)
        return false;
    w->ask_at = ask_next_at(w->total, most);
    w->awake = w->total >= most;
    return !w->awake;
}

static enum background_result run(struct background_task *t)
{
    struct watch *w = container_of(t, struct watch, task);
    uint64_t n_majors;
    bool announced;

    if (w->unfinished)
        return make_round(w);
    announced = atomic_exchange(&w->announced, false);
    n_majors = look_at_process(w);
    ask_for_memory(w);
    if (is_over(w))
        return BACKGROUND_DONE;
    if (w->total <= w->memory) {
        return pause_for(w, IDLE_PAUSE_MS);
    }
    if ((n_majors < FEW_MAJORS && !announced && !w->sparse) || !w->full)
        return make_no_round(w);
    return make_round(w);
}

void watch_init(struct watch *w, struct background *background)
{
    const char *wish = getenv("DISKALLOC_ADAPT");

    *w = (struct watch){
        .task.run = run,
        .background = background,
        .off = wish && strcmp(wish, "0") == 0,
        .ask_at = FIRST_ASKED,
    };
    TAILQ_INIT(&w->list);
    pthread_mutex_init(&w->lock, NULL);
    pressure_init(&w->pressure, NULL);
}

void watch_deinit(struct watch *w)
{
    background_cancel(w->background, &w->task);
    pressure_deinit(&w->pressure);
    pthread_mutex_destroy(&w->lock);
}

static bool is_too_much(struct watch *w, uint64_t total)
{
    struct pressure pressure;
    uint64_t memory;
    bool full;

    pressure_init(&pressure, NULL);
    memory = most_of(pressure_memory(&pressure, &full));
    pressure_deinit(&pressure);
    w->ask_at = ask_next_at(total, memory);
    return total >= memory;
}

// The regions have become much larger than when this was asked last.  The thread, if there is one, answers it and does
// the rest.
static void compare(struct watch *w, uint64_t total)
{
    w->awake = background_runs(w->background) || (is_too_much(w, total) && background_start(w->background));
    if (w->awake)
        background_submit(w->background, &w->task);
}

static void list(struct watch *w, struct watch_entry *e)
{
    pthread_mutex_lock(&w->lock);
    TAILQ_INSERT_TAIL(&w->list, e, entry);
    e->listed = true;
    pthread_mutex_unlock(&w->lock);
}

void watch_note(struct watch *w, struct watch_entry *e, uint64_t size)
{
    uint64_t before, total;

    if (w->off || (size < SMALLEST && !e->listed))
        return;
    if (!e->listed)
        list(w, e);
    before = atomic_exchange(&e->size, size);
    total = atomic_fetch_add(&w->total, size - before) + size - before;
    if (size > before && total >= w->ask_at && !w->awake)
        compare(w, total);
}

void watch_remove(struct watch *w, struct watch_entry *e)
{
    if (!e->listed)
        return;
    pthread_mutex_lock(&w->lock);
    if (w->next == e)
        w->next = TAILQ_NEXT(e, entry);
    TAILQ_REMOVE(&w->list, e, entry);
    e->listed = false;
    pthread_mutex_unlock(&w->lock);
    atomic_fetch_sub(&w->total, e->size);
}

void watch_prepare_fork(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
}

void watch_after_fork(struct watch *w)
{
    pthread_mutex_unlock(&w->lock);
}

void watch_forked(struct watch *w)
{
    watch_after_fork(w);
    pthread_mutex_init(&w->lock, NULL);
    TAILQ_INIT(&w->list);
    w->next = NULL;
    w->total = 0;
    w->n_files = 0;
    w->ask_at = FIRST_ASKED;
    w->asked = 0;
    w->awake = w->unfinished = false;
    // The parent's thread may have been about to change what it owns.
    pressure_init(&w->pressure, NULL);
}
