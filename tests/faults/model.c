// Regions of the script, and what must be in them.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/util/checked.h"
#include "tests/faults/calls.h"
#include "tests/faults/script.h"

enum { PIECE = 64 * 1024 };

void script_complain(struct script *s, const char *format, ...)
{
    struct report *report = s->report;
    va_list arguments;
    size_t n;

    if (report->complaint[0])
        return;
    n = (size_t)snprintf(report->complaint, sizeof report->complaint, "%s: ", report->doing);
    va_start(arguments, format);
    vsnprintf(report->complaint + n, sizeof report->complaint - n, format, arguments);
    va_end(arguments);
}

bool script_fault_was(const struct script *s, const char *call)
{
    return s->control->call >= 0 && strcmp(faults_calls[s->control->call].name, call) == 0;
}

// A region that saw a failed write to disk does not forget.  A mapping that can't be taken away keeps its locks, and so
// does a descriptor that can't be looked at, which stays open.
bool script_must_succeed(const struct script *s)
{
    static const char *const lasting[] = {"msync", "sync", "munmap", "fstat"};

    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++)
        if (script_fault_was(s, lasting[i]))
            return false;
    return s->once;
}

void script_begin(struct script *s, const char *part)
{
    snprintf(s->report->doing, sizeof s->report->doing, "%s", part);
}

bool script_succeeded(struct script *s, const char *call, int r)
{
    s->report->n_done++;
    if (r >= 0)
        return true;
    s->report->n_failed++;
    if (s->exact)
        script_complain(s, "%s: %d without a fault: %s", call, r, diskalloc_last_error());
    // Where there is no memory for a sentence, its beginning at least must be there.
    if (!diskalloc_last_error()[0])
        script_complain(s, "%s: %d, and no last error", call, r);
    return false;
}

uint64_t pattern_word(uint64_t seed, uint64_t offset)
{
    return (offset + 1) * 0x9e3779b97f4a7c15u ^ seed;
}

void model_fill(struct model *m, uint64_t end)
{
    uint8_t *data = diskalloc_region_data(m->region);

    for (uint64_t at = align_down(m->written, 8); at + 8 <= end; at += 8) {
        uint64_t word = pattern_word(m->seed, at);

        memcpy(data + at, &word, 8);
    }
    m->written = u64_max(m->written, align_down(end, 8));
    if (m->promise)
        m->promise->written = m->written;
}

// A region that can't be read is a complaint and no crash.
static void check_pattern(struct script *s, const struct model *m, uint64_t from, uint64_t to, const char *when)
{
    static uint64_t words[PIECE / 8];
    uint8_t *data = diskalloc_region_data(m->region);

    for (uint64_t at = from; at < to; at += PIECE) {
        size_t n = (size_t)u64_min(PIECE, to - at);
        struct iovec here = {.iov_base = words, .iov_len = n}, there = {.iov_base = data + at, .iov_len = n};
        ssize_t got = process_vm_readv(getpid(), &here, 1, &there, 1, 0);

        if (got != (ssize_t)n) {
            script_complain(s, "%s: the bytes from %llu on, of %llu, can't be read", when, (unsigned long long)at,
                            (unsigned long long)m->size);
            return;
        }
        for (size_t i = 0; i < n / 8; i++)
            if (words[i] != pattern_word(m->seed, at + 8 * i)) {
                script_complain(s, "%s: the word at %llu is lost", when, (unsigned long long)(at + 8 * i));
                return;
            }
    }
}

// The file has the blocks that were granted.
static void check_file(struct script *s, struct model *m, const char *when)
{
    struct stat st;
    int fd = diskalloc_region_fd(m->region);
    uint64_t end = align_up(m->size, 4096);

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    if ((uint64_t)st.st_size < m->size)
        script_complain(s, "%s: the file has %llu bytes instead of %llu", when, (unsigned long long)st.st_size,
                        (unsigned long long)m->size);
    if (m->from == m->to && (uint64_t)st.st_blocks * 512 < end)
        script_complain(s, "%s: the file has %llu bytes of blocks instead of %llu", when,
                        (unsigned long long)st.st_blocks * 512, (unsigned long long)end);
}

void model_check(struct script *s, struct model *m, const char *when)
{
    uint64_t size = diskalloc_region_size(m->region), end = align_down(u64_min(m->written, size), 8);

    if (size != m->size && !m->unsure)
        script_complain(s, "%s: the region has %llu bytes instead of %llu", when, (unsigned long long)size,
                        (unsigned long long)m->size);
    // After -ECONNRESET bytes that may be gone are not accessible.
    if (m->unsure && diskalloc_region_refresh(m->region) < 0)
        return;
    if (m->unsure) {
        m->size = diskalloc_region_size(m->region);
        m->unsure = false;
        end = align_down(u64_min(m->written, m->size), 8);
    }
    m->written = end;
    check_file(s, m, when);
    check_pattern(s, m, 0, u64_min(m->from, end), when);
    check_pattern(s, m, u64_min(m->to, end), end, when);
}

// A resize that failed has changed nothing, whoever is asked: the daemon, or the directory, says the same size.  What
// was granted, and can't be mapped, is not given back while others may use it already.
static void check_unchanged(struct script *s, const struct model *m)
{
    if (m->shared && script_fault_was(s, "mprotect"))
        return;
    if (diskalloc_region_refresh(m->region) >= 0 && diskalloc_region_size(m->region) != m->size)
        script_complain(s, "a resize that failed has left %llu bytes granted instead of %llu",
                        (unsigned long long)diskalloc_region_size(m->region), (unsigned long long)m->size);
}

static int try_resize(struct script *s, struct model *m, uint64_t size, int wait_ms)
{
    uint64_t before = m->size;
    int r;

    if (m->promise) {
        m->promise->other_size = size;
        m->promise->written = u64_min(m->written, size);
    }
    r = wait_ms < 0 ? diskalloc_region_resize(m->region, size) : diskalloc_region_resize_wait(m->region, size, wait_ms);
    if (script_succeeded(s, "resize", r))
        m->size = size;
    // While calls go on failing, what the daemon has granted after a wait can't be given back to it.
    else if (r == -ECONNRESET || (wait_ms > 0 && !s->once))
        m->unsure = true;
    m->written = u64_min(m->written, m->unsure ? u64_min(before, size) : m->size);
    if (r < 0 && s->once && !m->unsure)
        check_unchanged(s, m);
    model_check(s, m, r == 0 ? "after a resize" : "after a resize that was refused");
    if (m->promise) {
        m->promise->size = m->size;
        m->promise->other_size = m->unsure ? size : m->size;
        m->promise->written = m->written;
    }
    return r;
}

void model_resize(struct script *s, struct model *m, uint64_t size, int wait_ms)
{
    int r;

    if (!m->region)
        return;
    r = try_resize(s, m, size, wait_ms);
    if (r < 0) {
        int again = try_resize(s, m, size, wait_ms);

        if (again < 0 && script_must_succeed(s))
            script_complain(s, "resize: %d, and %d again when the fault is gone: %s", r, again, diskalloc_last_error());
    }
    if (diskalloc_region_size(m->region) == m->size && !m->unsure)
        model_fill(m, m->size);
}

void model_close(struct model *m)
{
    diskalloc_region_close(m->region);
    m->region = NULL;
}
