// A holder of a region's descriptor who does anything with it, and the tripwire that sees it.  The first byte chooses.
//
// Even: the rest is the size of a region, and a script of four bytes a step: changes behind the daemon's back, and the
// daemon's own operations, some of which the disk fails.  The looks have nothing but the kernel's events to go by.
// Each leaves the bytes of the region as they were.  After the last one the file is what is granted: its size, a block
// for each byte, none behind the end; and what is charged is that.
// Odd: the rest makes events as inotify(7) forms them.  Those that name a region are found, and no others.
#include <linux/falloc.h>
#include <sys/inotify.h>
#include <sys/mman.h>

#include "daemon/fence/tripwire.h"
#include "daemon/store/deviation.h"
#include "daemon/suspects.h"
#include "proto/spill/extents.h"
#include "proto/util/checked.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/op_fixture.h"

enum {
    BLOCK = 4096,
    SIZE_MOST = 256 * BLOCK, // of the region; changes begin below twice that
    STEP_SIZE = 4,
    LOOKS_MOST = 8,
    EVENTS_MOST = 64 * 1024, // bytes that a tripwire reads at once
};

static struct fixture fixture;
static struct tripwire *tripwire;
static struct region *region;
static int file = -1; // as a client has it
static uint8_t before[2 * SIZE_MOST], after[2 * SIZE_MOST];

static void no_wake(void *data, uint64_t at)
{
    (void)data;
    (void)at;
}

static void stop(void)
{
    tripwire_free(tripwire);
    fixture_deinit(&fixture);
    suspects_free(fixture.env.suspects);
}

static void start(void)
{
    fixture_init(&fixture);
    FUZZ_ASSERT(suspects_new(&fixture.regions, no_wake, NULL, &fixture.env.suspects) == 0);
    FUZZ_ASSERT(tripwire_new(store_dir_fd(fixture.disk.store), &tripwire) == 0);
    atexit(stop);
}

static void make_region(uint64_t size)
{
    FUZZ_ASSERT(create(&fixture, "", size, &region) == 0);
    FUZZ_ASSERT(tripwire_watch(tripwire, OWNER) == 0);
    file = store_open_file(fixture.disk.store, OWNER, &region->record.handle, O_RDWR);
    FUZZ_ASSERT(file >= 0);
    for (uint64_t at = 0; at < size; at++)
        before[at] = (uint8_t)(1 + at / BLOCK + at);
    FUZZ_ASSERT(pwrite(file, before, size, 0) == (ssize_t)size);
}

static void finish_operations(void)
{
    while (!TAILQ_EMPTY(&region->ops))
        event_base_loop(fixture.base, EVLOOP_ONCE);
}

// As if its last holder had gone and it had been reaped.
static void remove_region(void)
{
    close(file);
    suspects_forget(fixture.env.suspects, region);
    op_close_unused_files(&fixture.env);
    op_close_unused_files(&fixture.env);
    finish_operations();
    peer_detach(&fixture.peer, TAILQ_FIRST(&fixture.peer.attachments));
    FUZZ_ASSERT(store_unlink(fixture.disk.store, OWNER, &region->record.handle) == 0);
    region_remove(&fixture.regions, region);
    region->orphaned = false;
    region_free(region);
    FUZZ_ASSERT(charged(&fixture) == 0);
}

static void on_found(void *data, const struct handle *handle)
{
    (void)data;
    // Events of regions of earlier scripts are found as well.
    if (handle_equal(handle, &region->record.handle))
        suspects_note(fixture.env.suspects, region);
}

// Reads the events, and looks at what is due MS from now.
static void look_once(uint64_t ms)
{
    bool lost, noted;

    do
        noted = tripwire_read(tripwire, on_found, NULL, &lost);
    while (noted);
    op_verify_suspects(&fixture.env, clock_now() + ms);
    finish_operations();
}

// A look changes no byte that the region has.  Of discarded parts nothing is promised.
static void look(uint64_t ms)
{
    uint64_t kept;
    ssize_t n = pread(file, before, region->size, 0);

    FUZZ_ASSERT(n >= 0);
    look_once(ms);
    kept = (uint64_t)pread(file, after, (size_t)n, 0);
    FUZZ_ASSERT(kept == (uint64_t)n);
    for (uint64_t at = 0; at < kept; at += BLOCK)
        if (ranges_overlap(&region->discarded, at, 1) == 0)
            FUZZ_ASSERT(memcmp(before + at, after + at, u64_min(BLOCK, kept - at)) == 0);
}

static void expect_granted(void)
{
    const struct store_grant grant = {
        .size = region->size, .discarded = &region->discarded, .has_odd_end = region->has_odd_end};
    uint64_t end = align_up(region->size, BLOCK), behind = 0;
    struct store_deviation d;
    struct stat st;

    FUZZ_ASSERT(fstat(file, &st) == 0 && (uint64_t)st.st_size == region->size);
    FUZZ_ASSERT(region->has_odd_end || extents_count_behind(file, end, &behind) < 0 || behind == 0);
    FUZZ_ASSERT(store_compare(fixture.disk.store, file, &grant, true, &d) == 0);
    FUZZ_ASSERT(d.longer == 0 && d.shorter == 0 && d.missing == 0 && d.extra == 0);
    FUZZ_ASSERT(charged(&fixture) == end - region->discarded.sum);
}

static void store_by_mapping(uint64_t offset, uint8_t byte)
{
    struct stat st;
    uint8_t *p;

    // Behind the end of the file a store is SIGBUS, which is the business of who cut the file.
    if (fstat(file, &st) < 0 || offset >= (uint64_t)st.st_size || offset >= region->size)
        return;
    p = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)(offset / BLOCK * BLOCK));
    FUZZ_ASSERT(p != MAP_FAILED);
    p[offset % BLOCK] = byte;
    munmap(p, BLOCK);
}

static void discard_or_restore(const struct op_type *type, uint64_t offset, uint64_t length)
{
    struct op op;

    op_init(&op, &fixture.env, type, region);
    op.offset = offset;
    op.length = length;
    run_op(&fixture, &op);
}

// A is a place in the region or behind it, B a number of blocks, C of bytes.
static void step(uint8_t kind, uint8_t a, uint8_t b, uint8_t c)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_COLLAPSE_RANGE,
                                FALLOC_FL_INSERT_RANGE};
    enum { N_MODES = sizeof modes / sizeof *modes };
    uint64_t blocks = (uint64_t)a * BLOCK, length = (uint64_t)(b % 64) * BLOCK;
    ssize_t n = 0;

    switch (kind % (N_MODES + 8)) {
    case N_MODES:
        n = ftruncate(file, (off_t)(2 * blocks + c));
        break;
    case N_MODES + 1:
        n = pwrite(file, after, (size_t)b * 16, (off_t)(2 * blocks + c));
        break;
    case N_MODES + 2:
        store_by_mapping(blocks + c, b);
        break;
    case N_MODES + 3:
        resize(&fixture, region, blocks + c);
        break;
    case N_MODES + 4:
        discard_or_restore(&op_discard, blocks, length);
        break;
    case N_MODES + 5:
        discard_or_restore(&op_restore, blocks, length);
        break;
    case N_MODES + 6:
        inject(a % FAULT_KIND_N, b % 4 + 1, errors[c % N_ERRORS]);
        break;
    case N_MODES + 7:
        region->changed_at = a & 1 ? 0 : region->changed_at; // a long time has passed, or none
        look(a & 2 ? 500 : 0);
        break;
    default:
        n = fallocate(file, modes[kind % (N_MODES + 8)], (off_t)(2 * blocks + c / 64), (off_t)(length + c % 64));
    }
    (void)n; // what cannot be done has done nothing
}

static void play(const uint8_t *script, size_t n)
{
    make_region(n > 0 ? (uint64_t)script[0] * (BLOCK / 2) : 0);
    for (script++; n > STEP_SIZE; n -= STEP_SIZE, script += STEP_SIZE)
        step(script[0], script[1], script[2], script[3]);
    inject(NO_FAULT, 0, 0);
    for (int i = 0; i < LOOKS_MOST; i++) {
        region->changed_at = 0;
        look(3600 * 1000); // longer than any rest, also after a look that took long
    }
    expect_granted();
    remove_region();
}

static void count_found(void *data, const struct handle *handle)
{
    (void)handle;
    ++*(unsigned *)data;
}

// An event of mask and name, with the name's padding: as many bytes of DATA as the first one says.
static size_t make_event(const uint8_t *data, size_t n, uint8_t *ret, unsigned *n_named, bool *lost)
{
    static const uint32_t masks[] = {IN_MODIFY, IN_MODIFY, IN_MODIFY, IN_IGNORED, IN_Q_OVERFLOW, IN_MODIFY | IN_ISDIR};
    struct inotify_event e = {.wd = 1, .mask = masks[data[0] % (sizeof masks / sizeof *masks)]};
    char name[NAME_MAX + 1] = "";
    size_t length = n < 255 ? n : 255;
    struct handle handle;

    memcpy(name, data, length);
    name[0] = data[0] & 64 ? 'a' : name[0];
    e.len = data[0] & 128 ? 0 : (uint32_t)(strlen(name) / 16 * 16 + 16);
    memcpy(ret, &e, sizeof e);
    memcpy(ret + sizeof e, name, e.len);
    *lost |= (e.mask & IN_Q_OVERFLOW) != 0;
    *n_named += e.mask & IN_MODIFY && e.len > 0 && handle_parse(name, &handle) == 0;
    return sizeof e + e.len;
}

static void read_events(const uint8_t *data, size_t n)
{
    static uint8_t bytes[EVENTS_MOST];
    unsigned n_named = 0, n_found = 0;
    bool lost = false, found_lost;
    struct tripwire *t = NULL;
    size_t size = 0;
    int events = memfd_create("events", MFD_CLOEXEC);

    while (n > 1 && size + sizeof(struct inotify_event) + NAME_MAX + 1 < sizeof bytes) {
        size_t length = data[0] % 40;

        data++;
        n--;
        length = length < 1 ? 1 : length < n ? length : n;
        size += make_event(data, length, bytes + size, &n_named, &lost);
        data += length;
        n -= length;
    }
    FUZZ_ASSERT(events >= 0 && write(events, bytes, size) == (ssize_t)size && lseek(events, 0, SEEK_SET) == 0);
    FUZZ_ASSERT(tripwire_new(store_dir_fd(fixture.disk.store), &t) == 0);
    FUZZ_ASSERT(dup3(events, tripwire_fd(t), O_CLOEXEC) >= 0);
    close(events);
    FUZZ_ASSERT(tripwire_read(t, count_found, &n_found, &found_lost) == (size > 0));
    FUZZ_ASSERT(n_found == n_named && found_lost == lost);
    FUZZ_ASSERT(!tripwire_read(t, count_found, &n_found, &found_lost) && n_found == n_named);
    tripwire_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!fixture.base)
        start();
    if (n > 0 && *data & 1)
        read_events(data + 1, n - 1);
    else if (n > 0)
        play(data + 1, n - 1);
    return 0;
}
