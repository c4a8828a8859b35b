// The parts of the script that any program could be: regions, names, blocks, vectors, files, children, events.
#include <diskalloc/vec.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/script.h"

#define KIB ((uint64_t)1 << 10)

DISKALLOC_VEC_DEFINE(words, uint64_t)

enum { N_WORDS = 300000, N_KEPT = 20000 };

static struct diskalloc_region_options with_size(uint64_t size, uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.size = size;
    o.flags = flags;
    o.reserve = 64 * KIB * KIB;
    return o;
}

static void create(struct script *s, struct model *m, uint64_t size, uint32_t flags)
{
    struct diskalloc_region_options o = with_size(size, flags);

    *m = (struct model){.size = size, .seed = 1};
    if (REPEATED(s, "region_create", diskalloc_region_create(s->da, &o, &m->region)))
        model_fill(m, size);
}

static void discard(struct script *s, struct model *m, uint64_t from, uint64_t to)
{
    int r = diskalloc_region_discard(m->region, from, to - from);

    if (script_succeeded(s, "discard", r) || r == -ECONNRESET) {
        m->from = from;
        m->to = to;
    }
    if (r == -ECONNRESET)
        return;
    model_check(s, m, r == 0 ? "after a discard" : "after a discard that was refused");
    r = diskalloc_region_restore(m->region, from, to - from);
    if (!script_succeeded(s, "restore", r) || m->from == m->to) {
        if (r < 0)
            model_check(s, m, "after a restore that was refused");
        return;
    }
    uint64_t written = m->written, *data = diskalloc_region_data(m->region);

    for (uint64_t i = from / 8; i < to / 8; i++)
        if (data[i] != 0) {
            script_complain(s, "restored bytes are not zero");
            break;
        }
    // The pattern again, in the part only.
    m->written = from;
    model_fill(m, to);
    m->written = written;
    m->from = m->to = 0;
    model_check(s, m, "after a restore");
}

// The copy has the pattern, and the region as well, whatever became of the copy.
static void clone_it(struct script *s, struct model *m)
{
    struct model copy = *m;

    copy.region = NULL;
    if (REPEATED(s, "clone", diskalloc_region_clone(m->region, NULL, NULL, &copy.region))) {
        model_check(s, &copy, "after a clone");
        model_close(&copy);
    }
    model_check(s, m, "after a clone of it");
}

void script_regions(struct script *s)
{
    struct model m, sparse;

    script_begin(s, "regions");
    create(s, &m, 64 * KIB, 0);
    if (m.region) {
        model_check(s, &m, "after create");
        model_resize(s, &m, 256 * KIB, -1);
        model_resize(s, &m, 1024 * KIB, 0);
        model_resize(s, &m, 128 * KIB + 8, -1);
        discard(s, &m, 32 * KIB, 64 * KIB);
        script_succeeded(s, "advise", diskalloc_region_advise(m.region, 0, m.size, DISKALLOC_ADVICE_SEQUENTIAL));
        script_succeeded(s, "advise", diskalloc_region_advise(m.region, 0, m.size, DISKALLOC_ADVICE_COLD));
        script_succeeded(s, "refresh", diskalloc_region_refresh(m.region));
        script_succeeded(s, "commit", diskalloc_region_commit(m.region, 16, 8, 0));
        if (m.from == m.to)
            clone_it(s, &m);
        script_succeeded(s, "sync", diskalloc_region_sync(m.region));
        model_check(s, &m, "at the end");
        model_close(&m);
    }
    script_begin(s, "a sparse region");
    create(s, &sparse, 16 * KIB, DISKALLOC_REGION_SPARSE);
    if (sparse.region) {
        sparse.from = 0, sparse.to = UINT64_MAX; // no blocks
        script_succeeded(s, "resize", diskalloc_region_resize(sparse.region, 512 * KIB));
        model_close(&sparse);
    }
}

void script_sharing(struct script *s)
{
    struct diskalloc_region_options o = with_size(0, 0);
    struct model m, same = {.seed = 1};

    script_begin(s, "sharing");
    create(s, &m, 100 * KIB, 0);
    if (!m.region)
        return;
    if (REPEATED(s, "region_attach",
                 diskalloc_region_attach(s->other, diskalloc_region_handle(m.region), &o, &same.region))) {
        same.size = m.size;
        same.written = m.written;
        model_check(s, &same, "of the other client");
        m.shared = true;
        model_resize(s, &m, 300 * KIB, -1);
        if (REPEATED(s, "refresh", diskalloc_region_refresh(same.region))) {
            same.size = m.size;
            same.written = m.written;
            same.unsure = m.unsure;
            model_check(s, &same, "after a refresh");
        }
    }
    model_close(&m);
    if (same.region)
        model_check(s, &same, "after the first has closed it");
    model_close(&same);
}

static struct promise *promise_new(struct script *s, const char *name, uint64_t size)
{
    struct promise *p = &s->report->promises[s->report->n_promises++];

    snprintf(p->name, sizeof p->name, "%s-%s", s->prefix, name);
    p->seed = s->report->n_promises;
    p->state = PROMISE_UNSURE;
    p->size = p->other_size = size;
    return p;
}

static bool open_named(struct script *s, struct promise *p, struct model *m)
{
    struct diskalloc_region_options o = with_size(p->size, DISKALLOC_REGION_CREATE);

    *m = (struct model){.size = p->size, .seed = p->seed, .written = p->written, .promise = p};
    if (!REPEATED(s, "region_open", diskalloc_region_open(s->da, p->name, &o, &m->region)))
        return false;
    p->state = PROMISE_THERE;
    if (p->size != p->other_size)
        m->size = p->size = p->other_size = diskalloc_region_size(m->region);
    model_check(s, m, "after open");
    return true;
}

static void unlink_named(struct script *s, struct promise *p)
{
    int r;

    p->state = PROMISE_UNSURE; // this process may be killed in the call
    r = diskalloc_region_unlink(s->da, p->name);
    if (script_succeeded(s, "unlink", r))
        p->state = PROMISE_GONE;
    if (r < 0 && script_must_succeed(s) && p->state == PROMISE_UNSURE) {
        r = diskalloc_region_unlink(s->da, p->name);
        if (r < 0 && r != -ENOENT)
            script_complain(s, "unlink: %d when the fault is gone: %s", r, diskalloc_last_error());
        p->state = PROMISE_GONE;
    }
}

void script_names(struct script *s)
{
    struct promise *kept = promise_new(s, "kept", 8 * KIB), *gone = promise_new(s, "gone", 8 * KIB);
    struct model m;

    script_begin(s, "a named region");
    if (open_named(s, kept, &m)) {
        model_fill(&m, m.size);
        model_resize(s, &m, 200 * KIB, 20);
        kept->other_used = m.written;
        if (REPEATED(s, "commit", diskalloc_region_commit(m.region, m.written, 8, DISKALLOC_DURABLE)))
            kept->used = m.written;
        model_close(&m);
        if (open_named(s, kept, &m))
            model_resize(s, &m, 180 * KIB, -1);
        if (m.region)
            model_close(&m);
    }
    script_begin(s, "unlinking");
    if (open_named(s, gone, &m)) {
        model_fill(&m, m.size);
        unlink_named(s, gone);
        model_check(s, &m, "after unlink");
        model_close(&m);
    }
}

// A daemon closes descriptors that it does not know: here the region's file.
void script_descriptors(struct script *s)
{
    struct promise *p = promise_new(s, "closed", 8 * KIB);
    struct model m;
    int fd;

    script_begin(s, "a descriptor that the program closes");
    if (!open_named(s, p, &m))
        return;
    model_fill(&m, m.size);
    fd = diskalloc_region_fd(m.region);
    if (script_succeeded(s, "region_fd", fd))
        close(fd);
    model_resize(s, &m, 100 * KIB, -1);
    model_resize(s, &m, 60 * KIB, -1);
    model_close(&m);
}

void script_blocks(struct script *s)
{
    uint64_t *block, *larger;

    script_begin(s, "malloc and realloc");
    block = diskalloc_malloc(s->da, 100 * KIB);
    if (!script_succeeded(s, "malloc", block ? 0 : -errno) && script_must_succeed(s))
        block = diskalloc_malloc(s->da, 100 * KIB);
    if (!block)
        return;
    for (size_t i = 0; i < 100 * KIB / 8; i++)
        block[i] = pattern_word(9, i);
    larger = diskalloc_realloc(s->da, block, 700 * KIB);
    if (script_succeeded(s, "realloc", larger ? 0 : -errno)) {
        block = larger;
        memset(block + 100 * KIB / 8, 1, 600 * KIB);
    }
    for (size_t i = 0; i < 100 * KIB / 8; i++)
        if (block[i] != pattern_word(9, i)) {
            script_complain(s, "realloc lost the word %zu", i);
            break;
        }
    larger = diskalloc_realloc(s->da, block, 50 * KIB);
    if (!larger)
        script_complain(s, "shrinking a block failed: %s", strerror(errno));
    diskalloc_free(larger ? larger : block);
}

// Returns how many words are in V.
static size_t push(struct script *s, struct words *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = words_push(v, pattern_word(5, i));

        if (r == 0)
            continue;
        script_succeeded(s, "push", r);
        if (v->len != i)
            script_complain(s, "a push that failed changed the length");
        r = words_push(v, pattern_word(5, i));
        if (r == 0)
            continue;
        if (script_must_succeed(s) && !script_succeeded(s, "push", r))
            script_complain(s, "push: %d when the fault is gone: %s", r, diskalloc_last_error());
        return i;
    }
    return n;
}

static void check_words(struct script *s, const struct words *v, size_t n, const char *when)
{
    if (v->len != n)
        script_complain(s, "%s: %zu words instead of %zu", when, v->len, n);
    for (size_t i = 0; i < n && i < v->len; i++)
        if (v->data[i] != pattern_word(5, i)) {
            script_complain(s, "%s: the word %zu is lost", when, i);
            return;
        }
}

static void check_anonymous_vector(struct script *s)
{
    struct words v;
    size_t n;

    if (!REPEATED(s, "vec_init", words_init(&v, s->da)))
        return;
    n = push(s, &v, N_WORDS);
    check_words(s, &v, n, "after pushes");
    if (script_succeeded(s, "reserve", words_reserve(&v, 1000)) && v.cap < n + 1000)
        script_complain(s, "reserve returned 0, and there is no room");
    if (script_succeeded(s, "truncate", words_truncate(&v, n / 2)))
        n /= 2;
    script_succeeded(s, "shrink_to_fit", words_shrink_to_fit(&v));
    check_words(s, &v, n, "after shrink_to_fit");
    words_deinit(&v);
}

void script_vectors(struct script *s)
{
    struct promise *p = promise_new(s, "vector", 0);
    struct diskalloc_region_options o = with_size(0, DISKALLOC_REGION_CREATE);
    struct words v;
    size_t n;

    script_begin(s, "a vector");
    check_anonymous_vector(s);
    script_begin(s, "a vector with a name");
    p->seed = 5;
    p->other_size = UINT64_MAX; // a vector chooses
    if (!REPEATED(s, "vec_open", words_open(&v, s->da, p->name, &o)))
        return;
    p->state = PROMISE_THERE;
    n = push(s, &v, N_KEPT);
    check_words(s, &v, n, "after pushes");
    p->other_used = 8 * n;
    if (REPEATED(s, "vec_commit", words_commit(&v, 0)))
        p->used = 8 * n;
    words_deinit(&v);
    script_begin(s, "a vector opened again");
    if (!REPEATED(s, "vec_open", words_open(&v, s->da, p->name, &o)))
        return;
    if (p->used == 8 * n || v.len != 0)
        check_words(s, &v, n, "opened again");
    words_deinit(&v);
}

void script_files(struct script *s)
{
    struct diskalloc_region_options o = with_size(0, 0);
    struct model m = {.seed = 4};
    char path[200];
    int fd;

    script_begin(s, "a file of the program's");
    snprintf(path, sizeof path, "%s/file", s->scratch);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (REPEATED(s, "region_from_fd", diskalloc_region_from_fd(fd, &o, &m.region))) {
        model_resize(s, &m, 90 * KIB, -1);
        model_resize(s, &m, 40 * KIB, -1);
        script_succeeded(s, "commit", diskalloc_region_commit(m.region, 40 * KIB, 8, 0));
        script_succeeded(s, "sync", diskalloc_region_sync(m.region));
        model_close(&m);
    }
    close(fd);
    unlink(path);
}

void script_fork(struct script *s)
{
    struct model m;
    int status = -1;
    pid_t child;

    script_begin(s, "a forked child");
    create(s, &m, 64 * KIB, 0);
    if (!m.region)
        return;
    child = fork();
    if (child == 0) {
        model_check(s, &m, "in a child");
        model_close(&m);
        _exit(0);
    }
    if (child > 0 && (waitpid(child, &status, 0) != child || status != 0))
        script_complain(s, "the child ended with wait status 0x%x", (unsigned)status);
    model_check(s, &m, "after the child has ended");
    model_resize(s, &m, 80 * KIB, -1);
    model_close(&m);
}

void script_events(struct script *s)
{
    struct diskalloc_event event;
    struct diskalloc_usage usage;
    int r;

    script_begin(s, "usage and events");
    script_succeeded(s, "get_usage", diskalloc_get_usage(s->da, NULL, &usage, sizeof usage));
    script_succeeded(s, "event_fd", diskalloc_event_fd(s->da));
    for (int i = 0; i < 8; i++) {
        r = diskalloc_next_event(s->da, &event, sizeof event);
        if (!script_succeeded(s, "next_event", r) || r == 0)
            return;
    }
}
