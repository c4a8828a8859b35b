// The part of the script that an administrator could be, and the check of the promises.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/util/checked.h"
#include "tests/faults/script.h"
#include "tests/lib/raw_client.h"

static const char *socket_of(const struct script *s)
{
    return s->address + strlen("unix:");
}

static void check_code(struct script *s, const char *request, int code)
{
    s->report->n_done++;
    if (code == RAW_CODE(OK))
        return;
    s->report->n_failed++;
    if (s->exact)
        script_complain(s, "%s: code %d without a fault", request, code);
}

static void list_regions(struct script *s, struct raw *c)
{
    Diskalloc__V1__ListRegions body = DISKALLOC__V1__LIST_REGIONS__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    q.body_case = RAW_BODY(LIST_REGIONS);
    q.list_regions = &body;
    check_code(s, "list", raw_done(c, &q));
}

static void get_metrics(struct script *s, struct raw *c)
{
    Diskalloc__V1__GetMetrics body = DISKALLOC__V1__GET_METRICS__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    q.body_case = RAW_BODY(GET_METRICS);
    q.get_metrics = &body;
    check_code(s, "metrics", raw_done(c, &q));
}

// Over HTTP.  A daemon without memory closes the connection, at the latest after some 20 s; one that hangs does not.
static void scrape(struct script *s, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = 40};
    char text[4096], asked[100];
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s.metrics", socket_of(s));
    int fd = n < (int)sizeof address.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    ssize_t got = -1;

    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    n = snprintf(asked, sizeof asked, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && send(fd, asked, (size_t)n, MSG_NOSIGNAL) == n)
        got = recv(fd, text, sizeof text, MSG_WAITALL);
    if (got < 0 && errno == EAGAIN)
        script_complain(s, "%s: the daemon hangs", path);
    if (s->exact && (got < 15 || memcmp(text, "HTTP/1.1 200 OK", 15) != 0))
        script_complain(s, "%s: no answer without a fault", path);
    close(fd);
}

static void remove_region(struct script *s, struct raw *c)
{
    struct raw_handle h = raw_handle_new();
    struct raw second;
    RawReply *reply;
    int code = raw_create(c, &h, 12345);

    check_code(s, "create", code);
    if (code != RAW_CODE(OK))
        return;
    if (raw_open(&second, socket_of(s)) == RAW_CODE(OK)) {
        code = raw_remove(&second, &h, true);
        check_code(s, "rm", code);
    }
    raw_close(&second);
    reply = raw_usage(c, "total");
    check_code(s, "usage", raw_code(reply));
    raw_free(reply);
}

static void change_quotas(struct script *s, struct raw *c)
{
    char text[64];
    int code = raw_set_quota(c, "user:+4711", "bytes", "77M");

    check_code(s, "quota set", code);
    if (code == RAW_CODE(OK) && raw_quota_text(c, "user:+4711", "bytes", text, sizeof text) == RAW_CODE(OK) &&
        strncmp(text, "77M", 3) != 0)
        script_complain(s, "quota set was done, and the list says \"%s\"", text);
    check_code(s, "quota unset", raw_unset_quota(c, "user:+4711", NULL));
}

void script_admin(struct script *s)
{
    struct raw c;
    int code;

    if (!s->config)
        return;
    script_begin(s, "administration");
    code = raw_open(&c, socket_of(s));
    if (code != RAW_CODE(OK)) {
        raw_close(&c);
        code = raw_open(&c, socket_of(s));
    }
    check_code(s, "hello", code);
    if (code == RAW_CODE(OK)) {
        list_regions(s, &c);
        get_metrics(s, &c);
        scrape(s, "/metrics");
        scrape(s, "/state.json");
        scrape(s, "/");
        remove_region(s, &c);
        change_quotas(s, &c);
        kill(s->daemon, SIGHUP);
        // The reload is at work by then, or done.
        list_regions(s, &c);
    }
    raw_close(&c);
}

static void verify(struct script *s, struct promise *p)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct model m = {.size = p->size, .seed = p->seed, .written = p->written, .unsure = p->size != p->other_size};
    int r = diskalloc_region_open(s->da, p->name, &o, &m.region);
    uint64_t used;

    if (r == -ENOENT && p->state != PROMISE_THERE)
        return;
    if (r < 0 || p->state == PROMISE_GONE) {
        script_complain(s, "%s: open says %d: %s", p->name, r, diskalloc_last_error());
        diskalloc_region_close(m.region);
        return;
    }
    model_check(s, &m, p->name);
    // A shrink cuts what is committed, too.
    used = diskalloc_region_used(m.region);
    if (used != u64_min(p->used, m.size) && used != u64_min(p->other_used, m.size))
        script_complain(s, "%s: %llu bytes are committed instead of %llu or %llu", p->name, (unsigned long long)used,
                        (unsigned long long)p->used, (unsigned long long)p->other_used);
    model_close(&m);
    r = diskalloc_region_unlink(s->da, p->name);
    if (r < 0)
        script_complain(s, "%s: unlink says %d: %s", p->name, r, diskalloc_last_error());
    else
        p->state = PROMISE_GONE;
}

void script_verify(struct script *s)
{
    script_begin(s, "verifying");
    for (unsigned i = 0; i < s->report->n_promises; i++)
        if (s->report->promises[i].state != PROMISE_NONE)
            verify(s, &s->report->promises[i]);
    script_verify_blocks(s);
}
