// A whole daemon with two disks, and one process that says anything on two connections.  It answers, or hangs up, and
// goes on; at the end no account holds anything that is not on disk (the daemon asserts it when it goes).
//
// A packet's flags: bit 0: the client does not wait for the reply.  Bit 1, of the first packet: the conversation begins
// with an honest Hello.  Bit 2: the packet goes to the second connection, which begins so too.  Bit 3: a descriptor
// that comes with the reply stays open until the end.  See conversation.c for what the client puts into its requests.
//
// A reply is waited for during PATIENCE_MS.  All that the seeds and the corpus ask for is answered, so a test waits as
// long as it takes; mutations may have a grow wait for ever.
//
// After each input the names and limits that it has left are taken away, so that inputs do not depend on each other.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/load.h"
#include "daemon/config/settings.h"
#include "daemon/daemon.h"
#include "daemon/names.h"
#include "daemon/state.h"
#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"
#include "tests/fuzz/conversation.h"
#include "tests/fuzz/fuzz.h"

enum { NO_WAIT = 1, HONEST_HELLO = 2, SECOND = 4, KEEP_FD = 8 };
enum { HELLO_MS = 10000, FDS_MOST = 16, DISKS = 2 };

// A connection.
struct end {
    int sock; // -1: none, or it was hung up
    struct conversation conversation;
};

static struct daemon *the_daemon;
static char dirs[DISKS][128];
static const char *const disks[DISKS] = {dirs[0], dirs[1]};
static struct end sweeper = {.sock = -1};
static struct traces traces;
static uint64_t n_requests[TALLY_REQUESTS], n_done[TALLY_OPERATION_N]; // of all daemons
static int kept_fds[FDS_MOST];
static unsigned n_kept_fds;
static pthread_t thread;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void ignore(void *data, const char *sentence)
{
    (void)data;
    (void)sentence;
}

// Nothing here has to survive the machine.
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_syncfs(int fd)
{
    (void)fd;
    return 0;
}

// Small regions are made on the second disk, where parts of them can be discarded: tmpfs cannot tell its holes.
static struct config *configure(void)
{
    char path[128], *error = NULL;
    struct config *c = NULL;
    FILE *f;

    snprintf(path, sizeof path, "%s/diskallocd.conf", fuzz_directory());
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", fuzz_directory());
    f = fopen(path, "we");
    FUZZ_ASSERT(f);
    fprintf(f, "[daemon]\nkeep_free = 0\nsocket = %s\n", address.sun_path);
    for (int i = 0; i < DISKS; i++) {
        snprintf(dirs[i], sizeof dirs[i], "%s/disk%d", i ? fuzz_disk_directory() : fuzz_directory(), i);
        FUZZ_ASSERT(mkdir(dirs[i], 0700) == 0 || errno == EEXIST);
        fprintf(f, "spill_dir = %s\n", dirs[i]);
    }
    fprintf(f, "[disk %s]\nmin_bytes = 4M\n", dirs[0]);
    fprintf(f, "[quota default]\nbytes = 16M\nregions = 1000\nconnections = 100\n[quota total]\nbytes = 32M\n");
    FUZZ_ASSERT(fclose(f) == 0);
    FUZZ_ASSERT(config_load(path, NULL, ignore, NULL, &c, &error) == 0);
    return c;
}

static void *run(void *unused)
{
    (void)unused;
    FUZZ_ASSERT(daemon_run(the_daemon) == DAEMON_EXIT_OK);
    return NULL;
}

static void stop_daemon(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(thread, NULL);
    for (int i = 0; i < TALLY_REQUESTS; i++)
        n_requests[i] += the_daemon->request.op.tally.requests[i];
    for (int i = 0; i < TALLY_OPERATION_N; i++)
        n_done[i] += the_daemon->request.op.tally.results[i][TALLY_DONE];
    daemon_free(the_daemon);
    the_daemon = NULL;
}

static void start_daemon(void)
{
    static struct settings_source source; // nothing that a reload would read

    FUZZ_ASSERT(source.names || names_new(&source.names) == 0);
    FUZZ_ASSERT(daemon_new(&source, configure(), -1, &the_daemon) == DAEMON_EXIT_OK);
    FUZZ_ASSERT(pthread_create(&thread, NULL, run, NULL) == 0);
}

static void take_fd(int fd, bool keep)
{
    if (keep && n_kept_fds < FDS_MOST)
        kept_fds[n_kept_fds++] = fd;
    else
        close(fd);
}

enum outcome { HUNG_UP, NOTHING, REPLIED };

// Waits for one reply, and reads all that are there.
static enum outcome read_replies(struct end *e, int timeout_ms, bool keep_fd)
{
    static uint8_t buffer[PACKET_MAX];
    struct pollfd p = {.fd = e->sock, .events = POLLIN};
    enum outcome outcome = NOTHING;

    while (poll(&p, 1, timeout_ms) > 0) {
        int fd = -1;
        ssize_t n = packet_receive(e->sock, buffer, sizeof buffer, MSG_DONTWAIT, &fd);
        Diskalloc__V1__Reply *reply;

        if (n <= 0) {
            FUZZ_ASSERT(fd < 0);
            return HUNG_UP;
        }
        reply = diskalloc__v1__reply__unpack(NULL, (size_t)n, buffer);
        FUZZ_ASSERT(reply);
        FUZZ_ASSERT(!reply->error || reply->error->code != DISKALLOC__V1__ERROR_CODE__OK);
        FUZZ_ASSERT((fd >= 0) == reply->has_fd);
        if (fd >= 0)
            take_fd(fd, keep_fd);
        conversation_note(&e->conversation, reply);
        if (reply->id) { // no event
            outcome = REPLIED;
            timeout_ms = 0;
        }
        diskalloc__v1__reply__free_unpacked(reply, NULL);
    }
    return outcome;
}

static void hang_up(struct end *e)
{
    if (e->sock >= 0)
        close(e->sock);
    e->sock = -1;
}

static void connect_end(struct end *e)
{
    *e = (struct end){.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    FUZZ_ASSERT(e->sock >= 0 && connect(e->sock, (struct sockaddr *)&address, sizeof address) == 0);
}

// A client that knows all that there is.  It may be refused; a daemon that hangs does neither.
static void say_hello(struct end *e)
{
    static const uint8_t hello[] = {0x08, 0x01, 0x12, 0x06, 0x08, 0x01, 0x10, 0x01, 0x18, 0x7f};
    enum outcome outcome = HUNG_UP;

    if (packet_send(e->sock, hello, sizeof hello, -1, 0) == 0) {
        outcome = read_replies(e, HELLO_MS, false);
        FUZZ_ASSERT(outcome != NOTHING);
    }
    if (outcome == HUNG_UP)
        hang_up(e);
}

static void say(struct end *e, const struct fuzz_packet *p)
{
    static uint8_t bytes[PACKET_MAX];
    size_t n;

    // An ask may be under way.
    if (p->flags & SECOND)
        read_replies(e, 0, false);
    n = conversation_fill(&e->conversation, disks, DISKS, &traces, p->bytes, p->n, bytes, sizeof bytes);
    if (packet_send(e->sock, bytes, n, -1, MSG_DONTWAIT) == 0 && p->flags & NO_WAIT)
        return;
    if (read_replies(e, PATIENCE_MS, p->flags & KEEP_FD) == HUNG_UP)
        hang_up(e);
}

// The client's end is shut first: the daemon hangs up when it has answered everything; a grow that waits for a limit
// may take any time.
static void finish(struct end *e)
{
    if (e->sock < 0)
        return;
    shutdown(e->sock, SHUT_WR);
    while (read_replies(e, PATIENCE_MS, false) == REPLIED)
        continue;
    hang_up(e);
}

static void converse(const uint8_t *data, size_t n)
{
    struct end ends[2] = {{.sock = -1}, {.sock = -1}};
    struct fuzz_packet p;

    connect_end(&ends[0]);
    if (n > 0 && *data & HONEST_HELLO)
        say_hello(&ends[0]);
    while (ends[0].sock >= 0 && fuzz_next_packet(&data, &n, &p)) {
        struct end *e = &ends[p.flags & SECOND ? 1 : 0];

        if (e->sock < 0) {
            connect_end(e);
            say_hello(e);
        }
        if (e->sock >= 0)
            say(e, &p);
    }
    finish(&ends[0]);
    finish(&ends[1]);
    while (n_kept_fds > 0)
        close(kept_fds[--n_kept_fds]);
}

// ---- After an input ----

// Sends Q on the sweeper's connection.  NULL: there is none any more.  The reply is to be freed.
static Diskalloc__V1__Reply *ask(Diskalloc__V1__Request *q)
{
    static uint8_t bytes[PACKET_MAX];
    Diskalloc__V1__Reply *reply = NULL;
    int fd = -1;
    ssize_t n;

    q->id = 1;
    if (packet_send(sweeper.sock, bytes, diskalloc__v1__request__pack(q, bytes), -1, 0) < 0)
        return NULL;
    do {
        if (reply)
            diskalloc__v1__reply__free_unpacked(reply, NULL);
        n = packet_receive(sweeper.sock, bytes, sizeof bytes, 0, &fd);
        reply = n > 0 ? diskalloc__v1__reply__unpack(NULL, (size_t)n, bytes) : NULL;
    } while (reply && reply->id != 1 && !reply->error);
    return reply;
}

static bool unset_quotas(void)
{
    for (size_t i = 0; i < traces.n_subjects; i++) {
        Diskalloc__V1__Request q = DISKALLOC__V1__REQUEST__INIT;
        Diskalloc__V1__UnsetQuota unset = DISKALLOC__V1__UNSET_QUOTA__INIT;
        Diskalloc__V1__Reply *reply;

        q.body_case = DISKALLOC__V1__REQUEST__BODY_UNSET_QUOTA;
        q.unset_quota = &unset;
        unset.subject = (ProtobufCBinaryData){strlen(traces.subjects[i]), (uint8_t *)traces.subjects[i]};
        reply = ask(&q);
        if (!reply)
            return false;
        diskalloc__v1__reply__free_unpacked(reply, NULL);
    }
    return true;
}

static bool remove_region(const Diskalloc__V1__Region *r)
{
    Diskalloc__V1__Request q = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__RemoveRegion remove = DISKALLOC__V1__REMOVE_REGION__INIT;
    Diskalloc__V1__Reply *reply;

    q.body_case = DISKALLOC__V1__REQUEST__BODY_REMOVE_REGION;
    q.remove_region = &remove;
    remove.handle = r->handle;
    remove.force = true;
    reply = ask(&q);
    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
    return reply;
}

// A page of them: inputs make fewer.
static bool remove_regions(void)
{
    Diskalloc__V1__Request q = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__ListRegions list = DISKALLOC__V1__LIST_REGIONS__INIT;
    Diskalloc__V1__Reply *reply;
    bool good;

    q.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS;
    q.list_regions = &list;
    reply = ask(&q);
    good = reply;
    for (size_t i = 0;
         good && reply->body_case == DISKALLOC__V1__REPLY__BODY_REGION_LIST && i < reply->region_list->n_regions; i++)
        good = remove_region(reply->region_list->regions[i]);
    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
    return good;
}

// False: it is not possible.  An input may have disconnected everybody, or set a limit to no connections.
static bool sweep(void)
{
    if (sweeper.sock < 0) {
        connect_end(&sweeper);
        say_hello(&sweeper);
    }
    return sweeper.sock >= 0 && traces.n_subjects <= SUBJECTS_MOST && unset_quotas() &&
           (!traces.has_names || remove_regions());
}

static void sweep_by_force(void)
{
    char path[200];

    hang_up(&sweeper);
    stop_daemon();
    traces.n_subjects = 0;
    snprintf(path, sizeof path, "%s/.quota", dirs[0]);
    unlink(path);
    start_daemon();
    FUZZ_ASSERT(sweep());
}

static void stop(void)
{
    hang_up(&sweeper);
    if (the_daemon)
        stop_daemon();
}

// Each request was served, and each operation was done.
void fuzz_finish(void)
{
    const ProtobufCMessageDescriptor *type = &diskalloc__v1__request__descriptor;

    stop();
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (!(type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || n_requests[type->fields[i].id] > 0)
            continue;
        fprintf(stderr, "no input has the request %s\n", type->fields[i].name);
        abort();
    }
    for (int i = TALLY_CREATE; i < TALLY_VERIFY; i++) {
        if (n_done[i] > 0)
            continue;
        fprintf(stderr, "no input gets the operation %s done\n", tally_operation_names[i]);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool has_begun;

    if (!the_daemon)
        start_daemon();
    if (!has_begun)
        atexit(stop);
    has_begun = true;
    traces = (struct traces){0};
    converse(data, n);
    if ((traces.n_subjects > 0 || traces.has_names) && !sweep()) {
        hang_up(&sweeper);
        if (traces.n_subjects > SUBJECTS_MOST || !sweep())
            sweep_by_force();
    }
    return 0;
}
