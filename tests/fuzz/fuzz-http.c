// The HTTP server of the daemon with its pages, and clients that send it anything, in any pieces.  Each connection
// keeps the rules of http_rules.c; it ends when both sides have said all, or when its time is over; and the memory of
// all of them is bounded, and given back.
//
// The bytes of an input are sent on the current connection.  Those from 0xf0 on are orders (enum order): so an input
// says where a request is cut into pieces, who is slow, and when time passes.
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/http/request.h"
#include "daemon/http/server.h"
#include "daemon/http/site.h"
#include "daemon/metrics/metrics.h"
#include "daemon/op/wait.h"
#include "daemon/quota/quota.h"
#include "daemon/region.h"
#include "daemon/request/request.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "daemon/work/worker.h"
#include "proto/util/clock.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http_rules.h"

enum order {
    ORDERS = 0xf0,
    DELIVER = ORDERS, // the server reads what was sent so far
    CONNECT,          // there is another connection, which is the current one
    GO_TO,            // the connection with the number in the next byte is the current one
    HALF_CLOSE,       // nothing more is sent on it
    CLOSE,            // it is closed, with what was not read
    RECEIVE,          // what has come is read
    WAIT,             // time passes
    REPEAT,           // the last byte is sent 64 times as often as the next byte says
    LITERAL,          // the next byte is sent, whatever it is
};

enum {
    CLIENTS_MOST = 40, // more than the server has places for
    GUESTS_MOST = 32,  // places
    WAIT_MS = 7000,
    DEADLINE_MS = 20000,
    IDLE_MS = 4000, // the server lets five seconds pass, of the machine's own clock
    BIG = 1 << 20,  // bytes of a page that does not fit into a socket
    ROUNDS_MOST = 2000,
    MEMORY_MOST = 2 << 20, // bytes that all connections may have at a time
    KEPT_MOST = 1 << 20,   // bytes that all inputs together may leave: the last snapshots, and what malloc keeps
};

struct client {
    int fd; // -1: none, or closed
    bool was_closed, is_half_closed, has_ended, may_be_cut;
    bool is_gone;   // the server knows that it was closed
    uint64_t since; // when the server has let it in at the latest, ms; UINT64_MAX: not yet
    size_t n_sent, n_got, n_all;
    char sent[HTTP_HEAD_MOST], got[HTTP_REPLY_MOST];
};

static struct {
    struct event_base *base;
    struct server *server;
    struct site *site;
    struct request_env env;
    struct region_table regions;
    struct disk disk;
    struct config config;
    struct sockaddr_un address;
    uint64_t passed; // ms that WAIT has added to the clock
    size_t memory;   // bytes in use before this input
    int64_t kept;    // bytes that the inputs so far have left
    struct client clients[CLIENTS_MOST];
    unsigned n_clients, current;
} it;

uint64_t __real_clock_now(void);
uint64_t __wrap_clock_now(void);

uint64_t __wrap_clock_now(void)
{
    return __real_clock_now() + it.passed;
}

// Of the sanitizers, whose mallinfo2 knows nothing.
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t memory_in_use(void)
{
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                   : mallinfo2().uordblks + mallinfo2().hblkhd;
}

// ---- The server ----

static void answer(void *data, struct guest *g, const struct http_request *request)
{
    static const char bytes[BIG];
    struct evbuffer *body;

    if (strcmp(request->path, "/big") != 0) {
        site_answer(data, g, request);
        return;
    }
    // As any page: to this host only.
    body = request->host && strcmp(request->host, "localhost") == 0 ? evbuffer_new() : NULL;
    if (body) {
        FUZZ_ASSERT(evbuffer_add_reference(body, bytes, sizeof bytes, NULL, NULL) == 0);
        server_reply(g, 200, "Content-Type: text/plain\r\n", body, NULL);
    } else {
        server_reply(g, 404, "", NULL, "it is not here");
    }
}

static void no_wake(void *data, uint64_t at)
{
    (void)data;
    (void)at;
}

static void make_env(void)
{
    struct request_env *env = &it.env;
    char path[128], *error = NULL;

    snprintf(path, sizeof path, "%s/spill", fuzz_directory());
    FUZZ_ASSERT(mkdir(path, 0700) == 0 && store_open(path, false, &file_ops_system, &it.disk.store, &error) == 0);
    region_table_init(&it.regions, store_block_size(it.disk.store));
    env->op.disks = &it.disk;
    env->op.regions = &it.regions;
    env->config = &it.config;
    env->quota = quota_new();
    FUZZ_ASSERT(env->quota && worker_pool_new(it.base, 1, &env->op.pool) == 0);
    FUZZ_ASSERT(user_table_new(NULL, env->quota, &env->users) == 0 && metrics_new(&env->metrics) == 0);
    FUZZ_ASSERT(wait_new(&it.regions, no_wake, NULL, &env->op.wait) == 0);
    tally_init(&env->op.tally);
}

static void stop(void)
{
    server_free(it.server);
    site_free(it.site);
    wait_free(it.env.op.wait);
    metrics_free(it.env.metrics);
    user_table_free(it.env.users);
    FUZZ_ASSERT(worker_pool_stop(it.env.op.pool, 10000));
    worker_pool_free(it.env.op.pool);
    quota_free(it.env.quota);
    store_close(it.disk.store);
    event_base_free(it.base);
}

static void start(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    signal(SIGPIPE, SIG_IGN); // as the daemon does
    it.base = event_base_new();
    FUZZ_ASSERT(it.base);
    make_env();
    it.site = site_new(&it.env);
    it.address.sun_family = AF_UNIX;
    snprintf(it.address.sun_path, sizeof it.address.sun_path, "%s/socket", fuzz_directory());
    FUZZ_ASSERT(it.site && bind(fd, (struct sockaddr *)&it.address, sizeof it.address) == 0);
    FUZZ_ASSERT(listen(fd, CLIENTS_MOST) == 0);
    it.server = server_new(it.base, fd, answer, it.site);
    FUZZ_ASSERT(it.server);
    atexit(stop);
}

// Lets the server do all that it can.  The listener does not rest, as it would for some milliseconds.
static void turn(void)
{
    unsigned n_new = 0, n_open = 0;

    for (unsigned i = 0; i < it.n_clients; i++) {
        n_new += it.clients[i].since == UINT64_MAX;
        n_open += !it.clients[i].is_gone;
    }
    for (unsigned i = 0; i < 4 + n_new / 4; i++) {
        FUZZ_ASSERT(event_base_loop(it.base, EVLOOP_NONBLOCK) >= 0);
        server_tick(it.server);
    }
    for (unsigned i = 0; i < it.n_clients; i++) {
        if (n_open <= GUESTS_MOST && it.clients[i].since == UINT64_MAX)
            it.clients[i].since = clock_now();
        it.clients[i].is_gone = it.clients[i].was_closed;
    }
    // Where there are more than places, those that came first make room, also for some that were closed meanwhile.
    for (unsigned i = 0; i < it.n_clients && n_open > GUESTS_MOST; i++)
        it.clients[i].may_be_cut = true;
    FUZZ_ASSERT(memory_in_use() <= it.memory + MEMORY_MOST);
}

// ---- The clients ----

static struct client *add_client(void)
{
    struct client *c = &it.clients[it.n_clients];

    if (it.n_clients == CLIENTS_MOST)
        return &it.clients[it.current];
    c->was_closed = c->is_half_closed = c->has_ended = c->may_be_cut = c->is_gone = false;
    c->n_sent = c->n_got = c->n_all = 0;
    c->since = UINT64_MAX;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_ASSERT(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&it.address, sizeof it.address) == 0);
    it.current = it.n_clients++;
    return c;
}

static void send_some(struct client *c, const uint8_t *bytes, size_t n)
{
    ssize_t sent;

    if (c->was_closed || c->is_half_closed || n == 0)
        return;
    sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0) // the server has hung up, or has not read for long
        return;
    n = sizeof c->sent - c->n_sent < (size_t)sent ? sizeof c->sent - c->n_sent : (size_t)sent;
    memcpy(c->sent + c->n_sent, bytes, n);
    c->n_sent += n;
}

static void receive(struct client *c)
{
    static char bytes[64 << 10];
    ssize_t n;

    while (!c->was_closed && !c->has_ended && (n = recv(c->fd, bytes, sizeof bytes, 0)) != 0) {
        size_t kept = sizeof c->got - c->n_got;

        if (n < 0) {
            c->has_ended = errno != EAGAIN;
            return;
        }
        kept = kept < (size_t)n ? kept : (size_t)n;
        memcpy(c->got + c->n_got, bytes, kept);
        c->n_got += kept;
        c->n_all += (size_t)n;
    }
    c->has_ended = true;
}

static void half_close(struct client *c)
{
    if (!c->was_closed && !c->is_half_closed)
        shutdown(c->fd, SHUT_WR);
    c->is_half_closed = true;
}

static void close_client(struct client *c)
{
    if (!c->was_closed)
        close(c->fd);
    c->was_closed = true;
}

static void pass_time(void)
{
    uint64_t now;

    it.passed += WAIT_MS;
    now = clock_now(); // before the server looks at its clock: it may take long to come so far
    turn();
    for (unsigned i = 0; i < it.n_clients; i++) {
        struct client *c = &it.clients[i];

        c->may_be_cut = true;
        if (c->since == UINT64_MAX || c->since + DEADLINE_MS > now)
            continue;
        receive(c);
        FUZZ_ASSERT(c->was_closed || c->has_ended);
    }
}

static void repeat(struct client *c, uint8_t byte, unsigned times)
{
    uint8_t bytes[64];

    memset(bytes, byte, sizeof bytes);
    while (times-- > 0)
        send_some(c, bytes, sizeof bytes);
}

// Carries out the order at DATA.  Returns how many bytes it has, of N at most.
static size_t obey(const uint8_t *data, size_t n, uint8_t last)
{
    struct client *c = *data == CONNECT || it.n_clients == 0 ? add_client() : &it.clients[it.current];
    uint8_t next = n > 1 ? data[1] : 0;

    switch (*data) {
    case DELIVER:
        turn();
        return 1;
    case GO_TO:
        it.current = next % it.n_clients;
        return 2;
    case HALF_CLOSE:
        half_close(c);
        return 1;
    case CLOSE:
        close_client(c);
        return 1;
    case RECEIVE:
        receive(c);
        return 1;
    case WAIT:
        pass_time();
        return 1;
    case REPEAT:
        repeat(c, last, next);
        return 2;
    case LITERAL:
        send_some(c, &next, 1);
        return 2;
    default:
        return 1;
    }
}

static void follow(const uint8_t *data, size_t n)
{
    uint8_t last = 0;

    while (n > 0) {
        size_t piece = 0;

        while (piece < n && data[piece] < ORDERS)
            piece++;
        if (piece > 0) {
            send_some(it.n_clients ? &it.clients[it.current] : add_client(), data, piece);
            last = data[piece - 1];
        } else {
            piece = obey(data, n, last);
            piece = piece < n ? piece : n;
        }
        data += piece;
        n -= piece;
    }
}

// All say that they have nothing more to send, and read: then each connection ends, whatever was sent before.
static void finish(void)
{
    unsigned n_left = it.n_clients;

    turn();
    for (unsigned i = 0; i < it.n_clients; i++)
        half_close(&it.clients[i]);
    for (unsigned round = 0; n_left > 0; round++) {
        FUZZ_ASSERT(round < ROUNDS_MOST);
        turn();
        n_left = 0;
        for (unsigned i = 0; i < it.n_clients; i++) {
            receive(&it.clients[i]);
            n_left += !it.clients[i].was_closed && !it.clients[i].has_ended;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t began;

    if (!it.server)
        start();
    began = __real_clock_now();
    it.memory = memory_in_use();
    it.n_clients = it.current = 0;
    follow(data, n);
    finish();
    for (unsigned i = 0; i < it.n_clients; i++) {
        const struct client *c = &it.clients[i];
        const struct http_talk talk = {.sent = c->sent,
                                       .n_sent = c->n_sent,
                                       .got = c->got,
                                       .n_got = c->n_got,
                                       .n_all = c->n_all,
                                       .may_be_cut = c->may_be_cut || __real_clock_now() - began > IDLE_MS};

        if (!c->was_closed)
            http_rules_check(&talk);
        close_client(&it.clients[i]);
    }
    turn();
    it.kept += (int64_t)memory_in_use() - (int64_t)it.memory;
    FUZZ_ASSERT(it.kept <= KEPT_MOST);
    return 0;
}
