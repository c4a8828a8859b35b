// See fake_daemon.h.
#include "tests/lib/fake_daemon.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"
#include "proto/util/name.h"
#include "proto/util/ranges.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

// Two on a page.
static void play_list(const struct play *p, uint64_t from, Diskalloc__V1__Range *ranges, Diskalloc__V1__RangeList *ret)
{
    for (size_t i = ranges_find(&p->discarded, from); i < p->discarded.n; i++) {
        if (ret->n_ranges == 2) {
            ret->next = p->discarded.items[i].offset;
            break;
        }
        diskalloc__v1__range__init(&ranges[ret->n_ranges]);
        ranges[ret->n_ranges].offset = p->discarded.items[i].offset;
        ranges[ret->n_ranges++].length = p->discarded.items[i].length;
    }
}

void play_answer(const struct play *p, int sock, const Diskalloc__V1__Request *q, Diskalloc__V1__ErrorCode code)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error error = DISKALLOC__V1__ERROR__INIT;
    Diskalloc__V1__Region region = DISKALLOC__V1__REGION__INIT;
    Diskalloc__V1__HelloReply hello = DISKALLOC__V1__HELLO_REPLY__INIT;
    Diskalloc__V1__Usage usage = DISKALLOC__V1__USAGE__INIT;
    Diskalloc__V1__RangeList list = DISKALLOC__V1__RANGE_LIST__INIT;
    Diskalloc__V1__Range ranges[2], *listed[2] = {&ranges[0], &ranges[1]};
    uint8_t bytes[1024];

    reply.id = q->id;
    hello.version = 1;
    region.handle = (ProtobufCBinaryData){sizeof p->handle.bytes, (uint8_t *)p->handle.bytes};
    region.size = p->size;
    region.discarded = p->discarded.sum;
    usage.bytes = q->id;
    error.code = code;
    if (code == DISKALLOC__V1__ERROR_CODE__LIMIT || code == DISKALLOC__V1__ERROR_CODE__TIMED_OUT) {
        error.limit_name = (char *)"user:alice bytes";
        error.limit = 1000;
        error.used = 600;
        error.asked = 500;
    }
    if (code != DISKALLOC__V1__ERROR_CODE__OK) {
        reply.error = &error;
    } else if (q->body_case == DISKALLOC__V1__REQUEST__BODY_HELLO) {
        reply.body_case = DISKALLOC__V1__REPLY__BODY_HELLO;
        reply.hello = &hello;
    } else if (q->body_case == DISKALLOC__V1__REQUEST__BODY_GET_USAGE) {
        reply.body_case = DISKALLOC__V1__REPLY__BODY_USAGE;
        reply.usage = &usage;
    } else if (q->body_case == DISKALLOC__V1__REQUEST__BODY_LIST_DISCARDED) {
        play_list(p, q->list_discarded->from, ranges, &list);
        list.ranges = listed;
        reply.body_case = DISKALLOC__V1__REPLY__BODY_RANGE_LIST;
        reply.range_list = &list;
    } else {
        reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
        reply.region = &region;
        reply.has_fd = q->body_case == DISKALLOC__V1__REQUEST__BODY_CREATE_REGION ||
                       q->body_case == DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION ||
                       q->body_case == DISKALLOC__V1__REQUEST__BODY_OPEN_FILE;
    }
    packet_send(sock, bytes, diskalloc__v1__reply__pack(&reply, bytes), reply.has_fd ? p->file : -1, 0);
}

void play_send_event(int sock, uint64_t used)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;
    uint8_t bytes[256];

    event.kind = DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING;
    event.limit_name = (char *)"user:alice bytes";
    event.limit = 1000;
    event.used = used;
    event.warn = 800;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    packet_send(sock, bytes, diskalloc__v1__reply__pack(&reply, bytes), -1, 0);
}

// How far the clone of the region with the handle of zeros has come.
static void play_send_progress(int sock, uint64_t used)
{
    static uint8_t handle[16];
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;
    uint8_t bytes[256];

    event.kind = DISKALLOC__V1__EVENT_KIND__EVENT_CLONE_PROGRESS;
    event.limit = 1000;
    event.used = used;
    event.handle = (ProtobufCBinaryData){.data = handle, .len = sizeof handle};
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    packet_send(sock, bytes, diskalloc__v1__reply__pack(&reply, bytes), -1, 0);
    event.handle.len = 3; // no handle: it is ignored
    packet_send(sock, bytes, diskalloc__v1__reply__pack(&reply, bytes), -1, 0);
}

static void play_carry_out(struct play *p, const Diskalloc__V1__Request *q)
{
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_CREATE_REGION)
        memcpy(p->handle.bytes, q->create_region->handle.data, sizeof p->handle.bytes);
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_GROW_REGION && q->grow_region->size > p->size)
        p->size = q->grow_region->size;
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION)
        p->size = q->shrink_region->size;
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_DISCARD_REGION)
        ranges_add(&p->discarded, q->discard_region->offset, q->discard_region->length);
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_RESTORE_REGION)
        ranges_remove(&p->discarded, q->restore_region->offset, q->restore_region->length);
    if (ftruncate(p->file, (off_t)p->size) < 0)
        abort();
}

// A disk that has failed half-way, and does not give back what is lost.
static void play_lose(struct play *p, const Diskalloc__V1__Request *q)
{
    const Diskalloc__V1__DiscardRegion *d = q->discard_region;

    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION)
        p->size = (p->size + q->shrink_region->size) / 2;
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_DISCARD_REGION)
        ranges_add(&p->discarded, d->offset + d->length / 2, d->length / 2);
    if (ftruncate(p->file, (off_t)p->size) < 0)
        abort();
}

static void play_note(struct play *p, const Diskalloc__V1__Request *q)
{
    static const char letters[] = "??HCOADGSTMUFQ???PRL";

    p->seen[p->n_seen++] = q->body_case < sizeof letters - 1 ? letters[q->body_case] : '?';
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_GROW_REGION && p->n_grows < 8)
        p->wait_ms[p->n_grows++] = q->grow_region->wait_ms;
}

bool play_serve_one(struct play *p, int sock, const Diskalloc__V1__Request *q, char action)
{
    static const struct {
        char action;
        Diskalloc__V1__ErrorCode code;
    } refusals[] = {
        {'n', DISKALLOC__V1__ERROR_CODE__NOT_FOUND},    {'s', DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN},
        {'a', DISKALLOC__V1__ERROR_CODE__ACCESS},       {'i', DISKALLOC__V1__ERROR_CODE__IO},
        {'u', DISKALLOC__V1__ERROR_CODE__NOT_ATTACHED}, {'m', DISKALLOC__V1__ERROR_CODE__TOO_MANY_FILES},
        {'q', DISKALLOC__V1__ERROR_CODE__LIMIT},        {'t', DISKALLOC__V1__ERROR_CODE__TIMED_OUT},
    };
    Diskalloc__V1__Request held = *q;

    play_note(p, q);
    if (action == 'x')
        return false;
    if (action == 'l') {
        play_lose(p, q);
        action = 'i';
    }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (action == refusals[i].action) {
            play_answer(p, sock, q, refusals[i].code);
            return true;
        }
    play_carry_out(p, q);
    if (action == '<')
        p->held = *q;
    for (uint64_t i = 0; action == 'e' && i < 2; i++)
        play_send_event(sock, 900 + i);
    for (uint64_t i = 0; action == 'p' && i < 2; i++) {
        play_send_progress(sock, 500 + i);
        play_send_event(sock, 900 + i);
    }
    if (action != '.' && action != 'e' && action != 'p')
        return action != 'd';
    play_answer(p, sock, q, DISKALLOC__V1__ERROR_CODE__OK);
    if (p->held.id) {
        held = p->held;
        p->held.id = 0;
        play_answer(p, sock, &held, DISKALLOC__V1__ERROR_CODE__OK);
    }
    return true;
}

void play_serve(struct play *p, int sock, const char *actions)
{
    static uint8_t bytes[PACKET_MAX];
    bool open = true;

    while (open) {
        int fd = -1;
        ssize_t n = packet_receive(sock, bytes, sizeof bytes, 0, &fd);
        Diskalloc__V1__Request *q = n > 0 ? diskalloc__v1__request__unpack(NULL, (size_t)n, bytes) : NULL;

        if (!q)
            break;
        open = play_serve_one(p, sock, q, *actions ? *actions++ : '.');
        diskalloc__v1__request__free_unpacked(q, NULL);
    }
    close(sock);
}

static void *play_run(void *data)
{
    struct play *p = data;

    for (size_t i = 0; p->connections[i]; i++) {
        int sock = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

        if (sock < 0)
            return NULL;
        play_serve(p, sock, p->connections[i]);
        if (p->meanwhile)
            p->meanwhile(p);
    }
    return NULL;
}

void play_listen(struct play *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    scratch_make_dir(p->at.dir, sizeof p->at.dir);
    assert_true((size_t)snprintf(p->at.address, sizeof p->at.address, "unix:%s/s", p->at.dir) < 100);
    strcpy(address.sun_path, p->at.address + strlen("unix:"));
    p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    p->file = open(p->at.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(p->listener >= 0 && p->file >= 0);
    assert_return_code(bind(p->listener, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(p->listener, 8), errno);
}

void play_start(struct play *p)
{
    play_listen(p);
    assert_int_equal(pthread_create(&p->thread, NULL, play_run, p), 0);
}

void play_end(struct play *p)
{
    shutdown(p->listener, SHUT_RDWR);
    if (!p->joined)
        pthread_join(p->thread, NULL);
    close(p->listener);
    close(p->file);
    ranges_deinit(&p->discarded);
    scratch_remove_tree(p->at.dir);
}

struct diskalloc *client_of(const struct play *p, int reconnect_timeout_ms)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;

    o.reconnect_timeout_ms = reconnect_timeout_ms;
    assert_int_equal(diskalloc_open(p->at.address, &o, &da), 0);
    return da;
}

int find_socket(const char *path)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_un address = {0};
        socklen_t n = sizeof address;

        if (getpeername(fd, (struct sockaddr *)&address, &n) == 0 && strncmp(address.sun_path, path, strlen(path)) == 0)
            return fd;
    }
    return -1;
}
