// The faults have stopped: the daemon must answer as if nothing had been.
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "tests/faults/run.h"
#include "tests/lib/harness.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"

// Removing a file is tried again after 10 s at the latest; closed connections linger for 5 s.
enum { HEAL_S = 30 };

static bool wait_for(bool (*condition)(struct run *r), struct run *r)
{
    uint64_t until = clock_after(test_patience(HEAL_S) * 1000);
    struct timespec pause = {.tv_nsec = 200 * 1000};

    while (!condition(r)) {
        if (clock_left(until) == 0)
            return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 50 * 1000 * 1000)
            pause.tv_nsec *= 2;
    }
    return true;
}

static bool answers(struct run *r)
{
    struct raw c;
    bool well = raw_open(&c, r->socket) == RAW_CODE(OK);

    raw_close(&c);
    return well;
}

// The daemon looks at its disk every two seconds, and grants nothing while it thinks that the disk can't be written to.
static bool grants(struct run *r)
{
    struct raw_handle h = raw_handle_new();
    struct raw c;
    bool well = raw_open(&c, r->socket) == RAW_CODE(OK) && raw_create(&c, &h, 4096) == RAW_CODE(OK) &&
                raw_remove(&c, &h, true) == RAW_CODE(OK);

    raw_close(&c);
    return well;
}

struct sums {
    uint64_t bytes, regions; // that are charged
    uint64_t file_bytes, files;
};

// Regular files of the users' directories.
static void add_files(const char *dir, struct sums *ret)
{
    ret->file_bytes += test_sum_sizes(dir);
    ret->files += test_count_files(dir);
}

static bool read_sums(struct run *r, struct sums *ret)
{
    _cleanup_closedir_ DIR *dir = opendir(r->spill);
    struct dirent *e;
    struct raw c;
    RawReply *reply;
    bool well;

    *ret = (struct sums){0};
    well = raw_open(&c, r->socket) == RAW_CODE(OK);
    reply = well ? raw_usage(&c, "total") : NULL;
    well = raw_code(reply) == RAW_CODE(OK);
    if (well) {
        ret->bytes = reply->usage->bytes;
        ret->regions = reply->usage->regions;
    }
    raw_free(reply);
    raw_close(&c);
    while (dir && (e = readdir(dir))) {
        char path[512];

        snprintf(path, sizeof path, "%s/%s", r->spill, e->d_name);
        if (e->d_name[0] != '.' && e->d_type == DT_DIR)
            add_files(path, ret);
    }
    return well;
}

static bool is_there(enum promise_state state, bool certain)
{
    return state == PROMISE_THERE || (!certain && state == PROMISE_UNSURE);
}

static uint64_t named(const struct run *r, bool certain)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->report->n_promises; i++)
        n += is_there(r->report->promises[i].state, certain);
    return n + 2 * is_there(r->report->strings.state, certain) + is_there(r->report->heap.state, certain);
}

static bool charges_are_right(struct run *r)
{
    struct sums s;

    // A heap gives parts of its file back.
    return read_sums(r, &s) && s.bytes <= s.file_bytes &&
           (s.bytes == s.file_bytes || is_there(r->report->heap.state, false)) && s.regions == s.files &&
           s.files <= named(r, false) && s.files >= named(r, true);
}

void heal_check_charges(struct run *r)
{
    struct sums s;

    if (wait_for(charges_are_right, r))
        return;
    if (!read_sums(r, &s))
        run_violation(r, "the daemon does not say what is used");
    else
        run_violation(r,
                      "%llu bytes and %llu regions are charged, on disk are %llu bytes in %llu files, and %llu to %llu "
                      "should be there",
                      (unsigned long long)s.bytes, (unsigned long long)s.regions, (unsigned long long)s.file_bytes,
                      (unsigned long long)s.files, (unsigned long long)named(r, true),
                      (unsigned long long)named(r, false));
}

static unsigned count_fds(const struct run *r)
{
    _cleanup_closedir_ DIR *dir = NULL;
    char path[64];
    unsigned n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)r->daemon);
    dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    return n;
}

static bool has_few_fds(struct run *r)
{
    return count_fds(r) <= r->n_fds;
}

// A daemon that saw only one client after another until here is asked for everything once more.
static void check_work(struct run *r)
{
    struct raw_handle h = raw_handle_new();
    struct raw c;
    char text[64];
    int code = raw_open(&c, r->socket);

    if (code == RAW_CODE(OK))
        code = raw_create(&c, &h, 100000);
    if (code == RAW_CODE(OK))
        code = raw_shrink(&c, &h, 50000, 100000);
    if (code == RAW_CODE(OK))
        code = raw_remove(&c, &h, true);
    if (code != RAW_CODE(OK))
        run_violation(r, "after the faults a region is not made, cut and removed: code %d", code);
    code = raw_set_quota(&c, "user:+4712", "bytes", "78M");
    if (code == RAW_CODE(OK))
        code = raw_quota_text(&c, "user:+4712", "bytes", text, sizeof text);
    if (code != RAW_CODE(OK) || strncmp(text, "78M", 3) != 0)
        run_violation(r, "after the faults a quota is not set: code %d, \"%s\"", code, text);
    code = raw_unset_quota(&c, "user:+4712", NULL);
    if (code != RAW_CODE(OK))
        run_violation(r, "after the faults a quota is not unset: code %d", code);
    raw_close(&c);
}

static bool is_reloaded(struct run *r)
{
    struct raw c;
    char text[64] = "";

    if (raw_open(&c, r->socket) == RAW_CODE(OK))
        raw_quota_text(&c, "user:+4713", "bytes", text, sizeof text);
    raw_close(&c);
    return strncmp(text, "79M", 3) == 0;
}

static void check_reload(struct run *r)
{
    FILE *f = fopen(r->config, "ae");

    if (!f)
        abort();
    fputs("[quota user:+4713]\nbytes = 79M\n", f);
    fclose(f);
    kill(r->daemon, SIGHUP);
    if (!wait_for(is_reloaded, r))
        run_violation(r, "after the faults the configuration is not reloaded");
}

void heal_check(struct run *r, unsigned n_fds)
{
    if (!wait_for(answers, r)) {
        run_violation(r, "the daemon does not answer when the faults have stopped");
        return;
    }
    heal_check_charges(r);
    if (!r->violation[0] && !wait_for(grants, r))
        run_violation(r, "the daemon grants nothing when the faults have stopped");
    if (!r->violation[0])
        check_work(r);
    if (!r->violation[0])
        check_reload(r);
    r->n_fds = n_fds;
    if (n_fds == 0)
        r->n_fds = count_fds(r);
    else if (!wait_for(has_few_fds, r))
        run_violation(r, "the daemon has %u descriptors open instead of %u", count_fds(r), n_fds);
}
