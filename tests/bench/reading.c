// Reading a region that is larger than memory: at random places, by read-modify-write, announced, and scanned, each in
// a control group with a memory limit.  Beside it the same by hand (a file that is mapped), and fio, where it is
// installed, as the limit.  Rounds alternate, medians; no test.
//   diskalloc-bench-reading [MIB [LIMIT-MIB [ROUNDS [DIRECTORY]]]]
#include <diskalloc/client.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/child.h"
#include "tests/lib/cgroup.h"
#include "tests/lib/scratch.h"

enum { PAGE = 4096, SECONDS = 120, MOST_ROUNDS = 15, BATCH_SMALL = 64, BATCH = 1024 };
#define MIB ((size_t)1 << 20)
static const double warm_up = 1.0, measured = 2.0, slice = 0.05;

static size_t size = 4096 * MIB, limit = 512 * MIB;
static int n_rounds = 5;
static const char *directory = "/var/tmp";
static char place[4096], file[4200], address[4200];
static volatile uint64_t sink; // what was read is used

__attribute__((noreturn)) void bench_die(const char *what)
{
    fprintf(stderr, "%s: %m; %s\n", what, diskalloc_last_error());
    exit(1);
}

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int result, const char *what)
{
    if (result < 0)
        bench_die(what);
}

// ---- Ways to have the bytes in memory ----

enum way { BY_HAND, BY_HAND_RANDOM, OURS, OURS_RANDOM, OURS_FIXED, WAY_N };
static const char *const way_names[WAY_N] = {"by hand", "by hand, RANDOM", "NORMAL", "RANDOM", "DISKALLOC_ADAPT=0"};

struct memory {
    uint64_t *data;
    struct diskalloc *client;
    struct diskalloc_region *region; // NULL: by hand
};

static uint64_t *map_by_hand(bool random)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        bench_die(file);
    close(fd);
    if (random)
        must(madvise(at, size, MADV_RANDOM), "madvise");
    return at;
}

static void open_client(struct memory *m, enum way way)
{
    if (way == OURS_FIXED)
        setenv("DISKALLOC_ADAPT", "0", 1);
    must(diskalloc_open(address, NULL, &m->client), "open");
}

static void open_region(struct memory *m, const char *name, enum way way)
{
    must(diskalloc_region_open(m->client, name, NULL, &m->region), name);
    if (way == OURS_RANDOM)
        must(diskalloc_region_advise(m->region, 0, size, DISKALLOC_ADVICE_RANDOM), "advise");
    m->data = diskalloc_region_data(m->region);
}

static void begin(struct memory *m, enum way way)
{
    *m = (struct memory){0};
    if (way == BY_HAND || way == BY_HAND_RANDOM) {
        m->data = map_by_hand(way == BY_HAND_RANDOM);
        return;
    }
    open_client(m, way);
    open_region(m, "first", way);
}

static void end(struct memory *m)
{
    if (!m->region)
        munmap(m->data, size);
    diskalloc_region_close(m->region);
    diskalloc_close(m->client);
}

// ---- Uses ----

static _Thread_local uint64_t random_state = 88172645463325252;

static size_t random_place(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(((unsigned __int128)random_state * (size / sizeof(uint64_t))) >> 64);
}

// Each returns how many places were read.
static uint64_t read_some(struct memory *m)
{
    sink += m->data[random_place()];
    return 1;
}

// One instruction that loads and stores: a page that is not in memory is a fault by a store.
static uint64_t update_some(struct memory *m)
{
    m->data[random_place()] += 1;
    return 1;
}

// The word is looked at first, as by a hash table: a fault by a load, then one by a store.
static uint64_t look_and_update_some(struct memory *m)
{
    volatile uint64_t *word = &m->data[random_place()];
    uint64_t value = *word;

    if (value != 0)
        *word = value + 1;
    return 1;
}

// The next batch is announced before this one is used.
static uint64_t read_announced(struct memory *m, size_t n)
{
    static uint64_t at[2][BATCH];
    static bool primed, second;
    uint64_t *next = at[!second], *now = at[second];

    for (size_t i = 0; i < n; i++)
        next[i] = random_place() * sizeof(uint64_t);
    must(diskalloc_region_prefetch(m->region, next, n, sizeof(uint64_t)), "prefetch");
    for (size_t i = 0; primed && i < n; i++)
        sink += m->data[now[i] / sizeof(uint64_t)];
    second = !second;
    primed = true;
    return n;
}

static uint64_t read_announced_few(struct memory *m)
{
    return read_announced(m, BATCH_SMALL);
}

static uint64_t read_announced_many(struct memory *m)
{
    return read_announced(m, BATCH);
}

static double use_for(struct memory *m, uint64_t (*use)(struct memory *), double seconds)
{
    double start = bench_now(), now;
    uint64_t n = 0;

    do {
        n += use(m);
        now = bench_now();
    } while (now - start < seconds);
    return (double)n / (now - start);
}

// Bytes a second; the scan goes round and round.
static double scan_for(struct memory *m, size_t *at, double seconds)
{
    double start = bench_now(), now;
    size_t done = 0;
    uint64_t sum = 0;

    do {
        for (size_t i = 0; i < MIB / 4 / sizeof sum; i++)
            sum += m->data[*at / sizeof sum + i];
        *at = (*at + MIB / 4) % size;
        done += MIB / 4;
        now = bench_now();
    } while (now - start < seconds);
    sink += sum;
    return (double)done / (now - start);
}

struct test {
    enum way way;
    uint64_t (*use)(struct memory *);
};

// Memory is full when it begins.
static void measure_use(const void *data, struct bench_result *ret)
{
    const struct test *t = data;
    struct memory m;
    size_t at = 0;

    begin(&m, t->way);
    scan_for(&m, &at, 0.5);
    use_for(&m, t->use, warm_up);
    ret->seconds = use_for(&m, t->use, measured);
    end(&m);
}

static void measure_scan(const void *data, struct bench_result *ret)
{
    const struct test *t = data;
    struct memory m;
    size_t at = 0;

    begin(&m, t->way);
    scan_for(&m, &at, 0.5);
    ret->seconds = scan_for(&m, &at, measured + 1) / 1e6;
    end(&m);
}

// The first part is the time until a slice of the scan is as fast as 0.8 of the mean of the second half.
static void measure_scan_afterwards(const void *data, struct bench_result *ret)
{
    enum { N = 60 };
    const struct test *t = data;
    double speed[N];
    struct memory m;
    size_t at = 0;

    begin(&m, t->way);
    use_for(&m, read_some, measured);
    for (int i = 0; i < N; i++)
        speed[i] = scan_for(&m, &at, slice) / 1e6;
    for (int i = N / 2; i < N; i++)
        ret->seconds += speed[i] * 2 / N;
    for (int i = 0; i < N && speed[i] < ret->seconds * 0.8; i++)
        ret->part[0] = (i + 1) * slice;
    end(&m);
}

// ---- Two regions at once ----

static void *scan_until_over(void *data)
{
    size_t at = 0;
    double *speed = malloc(sizeof *speed);

    scan_for(data, &at, warm_up);
    if (speed)
        *speed = scan_for(data, &at, measured) / 1e6;
    return speed;
}

// The result is the reads a second, the first part the scan's MB/s.
static void measure_both(const void *data, struct bench_result *ret)
{
    const struct test *t = data;
    struct memory first, second;
    pthread_t thread;
    double *speed = NULL;

    begin(&first, t->way == OURS_RANDOM ? OURS : t->way);
    second = first;
    open_region(&second, "second", t->way);
    if (pthread_create(&thread, NULL, scan_until_over, &first) != 0)
        bench_die("thread");
    use_for(&second, read_some, warm_up);
    ret->seconds = use_for(&second, read_some, measured);
    pthread_join(thread, (void **)&speed);
    ret->part[0] = speed ? *speed : 0;
    free(speed);
    diskalloc_region_close(second.region);
    end(&first);
}

// ---- fio ----

static double run_fio(const char *what)
{
    char command[9000], line[4096] = "";
    double reads = 0;
    FILE *f;

    snprintf(command, sizeof command,
             "fio --name=r --filename=%s --size=%zu --bs=4k --direct=1 --ioengine=io_uring --runtime=3 --time_based %s "
             "--output-format=terse --terse-version=3 2>/dev/null",
             file, size, what);
    f = popen(command, "re");
    if (f && fgets(line, sizeof line, f)) {
        const char *at = line;

        for (int i = 0; at && i < 7; i++)
            at = strchr(at + 1, ';');
        reads = at ? strtod(at + 1, NULL) : 0;
    }
    if (f)
        pclose(f);
    return reads;
}

// ---- Series ----

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, (size_t)n_rounds, sizeof *values, compare);
    return values[n_rounds / 2];
}

struct line {
    const char *name;
    void (*measure)(const void *, struct bench_result *);
    struct test test;
    const char *fio; // instead
    double result[MOST_ROUNDS], part[MOST_ROUNDS];
};

static void drop_all(void)
{
    FILE *f = fopen("/proc/sys/vm/drop_caches", "we");

    sync();
    if (f && fputs("1\n", f) >= 0)
        fflush(f);
    if (f)
        fclose(f);
}

static void run_one(struct line *c, int round)
{
    struct bench_result r = {0};
    struct cgroup group;
    const char *why;

    drop_all();
    if (c->fio) {
        c->result[round] = run_fio(c->fio);
        return;
    }
    if (cgroup_make(&group, limit, &why) < 0)
        bench_die(why);
    r = child_run(c->measure, &c->test, &group, SECONDS);
    cgroup_remove(&group);
    if (r.outcome != OUTCOME_OK)
        bench_die(c->name);
    c->result[round] = r.seconds;
    c->part[round] = r.part[0];
}

static void run_series(const char *title, const char *unit, const char *part, struct line *cs, size_t n)
{
    for (int round = 0; round < n_rounds; round++)
        for (size_t i = 0; i < n; i++)
            run_one(&cs[(i + (size_t)round) % n], round);
    printf("%s\n", title);
    for (size_t i = 0; i < n; i++) {
        double least, most, middle = median(cs[i].result);

        least = cs[i].result[0];
        most = cs[i].result[n_rounds - 1];
        printf("    %-28s %10.0f %s (%.0f-%.0f)", cs[i].name, middle, unit, least, most);
        if (part)
            printf(", %s %.2f", part, median(cs[i].part));
        printf("\n");
    }
}

#define N_OF(a) (sizeof(a) / sizeof *(a))
#define USE(w, u)                                                      \
    {                                                                  \
        .name = way_names[w], .measure = measure_use, .test = { w, u } \
    }
#define FIO(options)                           \
    {                                          \
        .name = "fio " options, .fio = options \
    }

static void random_reads(void)
{
    struct line cs[] = {USE(BY_HAND, read_some),     USE(BY_HAND_RANDOM, read_some), USE(OURS, read_some),
                        USE(OURS_RANDOM, read_some), USE(OURS_FIXED, read_some),     FIO("--rw=randread --iodepth=1")};

    run_series("R1 random reads, after 1 s", "/s", NULL, cs, N_OF(cs));
}

static void random_updates(void)
{
    struct line cs[] = {USE(BY_HAND, update_some), USE(BY_HAND_RANDOM, update_some), USE(OURS, update_some),
                        USE(OURS_RANDOM, update_some), FIO("--rw=randrw --iodepth=1")};

    struct line looked[] = {USE(BY_HAND, look_and_update_some), USE(BY_HAND_RANDOM, look_and_update_some),
                            USE(OURS, look_and_update_some), USE(OURS_RANDOM, look_and_update_some)};

    run_series("R2 random read-modify-writes, after 1 s (fio: reads, as many writes beside)", "/s", NULL, cs, N_OF(cs));
    run_series("R2 the same, each word looked at before it is stored to", "/s", NULL, looked, N_OF(looked));
}

static void announced_reads(void)
{
    struct line cs[] = {
        {.name = "batches of 64", .measure = measure_use, .test = {OURS, read_announced_few}},
        {.name = "batches of 1024", .measure = measure_use, .test = {OURS, read_announced_many}},
        FIO("--rw=randread --iodepth=32"),
        FIO("--rw=randread --iodepth=128"),
    };

    run_series("R3 announced random reads, one batch ahead", "/s", NULL, cs, N_OF(cs));
}

#define SCAN(w, m)                                              \
    {                                                           \
        .name = way_names[w], .measure = m, .test = { w, NULL } \
    }

static void scans(void)
{
    struct line plain[] = {SCAN(BY_HAND, measure_scan), SCAN(OURS, measure_scan), SCAN(OURS_FIXED, measure_scan)};
    struct line after[] = {SCAN(OURS, measure_scan_afterwards), SCAN(OURS_FIXED, measure_scan_afterwards)};
    struct line both[] = {SCAN(OURS, measure_both), SCAN(OURS_RANDOM, measure_both), SCAN(OURS_FIXED, measure_both)};

    run_series("R4 scan", "MB/s", NULL, plain, N_OF(plain));
    run_series("R4 scan after 2 s of random reads", "MB/s", "seconds until it is fast", after, N_OF(after));
    run_series("R4 one region read at random while another one is scanned", "/s", "MB/s", both, N_OF(both));
}

// ---- The files ----

static void fill(uint64_t *data)
{
    for (size_t i = 0; i < size / sizeof *data; i++)
        data[i] = i * UINT64_C(0x9E3779B97F4A7C15);
    must(msync(data, size, MS_SYNC), "msync");
}

static void make_region(struct diskalloc *client, const char *name)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;

    o.size = size;
    o.flags = DISKALLOC_REGION_CREATE;
    must(diskalloc_region_open(client, name, &o, &r), name);
    fill(diskalloc_region_data(r));
    diskalloc_region_close(r);
}

static void make_files(void)
{
    struct diskalloc *client;
    uint64_t *data;
    int fd;

    snprintf(place, sizeof place, "%s/diskalloc-reading-XXXXXX", directory);
    if (!mkdtemp(place))
        bench_die(place);
    snprintf(file, sizeof file, "%s/by-hand", place);
    snprintf(address, sizeof address, "dir:%s/regions", place);
    must(mkdir(address + 4, 0700), address);
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must(fd < 0 ? -1 : posix_fallocate(fd, 0, (off_t)size) ? -1 : 0, file);
    close(fd);
    data = map_by_hand(false);
    fill(data);
    munmap(data, size);
    must(diskalloc_open(address, NULL, &client), "open");
    make_region(client, "first");
    make_region(client, "second");
    diskalloc_close(client);
}

static void remove_files(void)
{
    scratch_remove_tree(place);
}

int main(int argc, char **argv)
{
    const char *which = getenv("BENCH_ONLY");

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1)
        size = strtoul(argv[1], NULL, 10) * MIB;
    if (argc > 2)
        limit = strtoul(argv[2], NULL, 10) * MIB;
    if (argc > 3)
        n_rounds = atoi(argv[3]);
    if (argc > 4)
        directory = argv[4];
    if (size < 64 * MIB || n_rounds < 1 || n_rounds > MOST_ROUNDS)
        bench_die("arguments");
    make_files();
    atexit(remove_files);
    if (!which || strstr(which, "R1"))
        random_reads();
    if (!which || strstr(which, "R2"))
        random_updates();
    if (!which || strstr(which, "R3"))
        announced_reads();
    if (!which || strstr(which, "R4"))
        scans();
    return 0;
}
