// A daemon that answers anything, and the library that asks it: it returns, and leaves nothing open.
//
// A packet's flags: bit 0: it gets the id of the request; bit 1: a descriptor comes with it.  The first one answers
// Hello.
#include <diskalloc/client.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"
#include "tests/fuzz/fuzz.h"

enum { RIGHT_ID = 1, WITH_FD = 2, FILE_SIZE = 1 << 20, VARINT_MAX = 10, LISTED_MOST = 64 };

static char address[128];
static int listener = -1, file = -1;
static struct {
    const uint8_t *data;
    size_t left;
} script;

// Of two ids in a message the last one counts.
static size_t append_id(uint8_t *bytes, size_t n, uint64_t id)
{
    bytes[n++] = 0x08;
    for (; id >= 0x80; id >>= 7)
        bytes[n++] = (uint8_t)(id | 0x80);
    bytes[n++] = (uint8_t)id;
    return n;
}

// Whether the request with ID is answered by that, or ended: the client would wait for ever for anything else.
static int settles(const uint8_t *bytes, size_t n, uint64_t id)
{
    Diskalloc__V1__Reply *reply = diskalloc__v1__reply__unpack(NULL, n, bytes);
    int r = !reply || reply->id == id;

    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
    return r;
}

// False: nothing more to say.
static int answer(int sock, uint64_t id)
{
    static uint8_t bytes[PACKET_MAX + 1 + VARINT_MAX];
    struct fuzz_packet p;

    while (fuzz_next_packet(&script.data, &script.left, &p)) {
        memcpy(bytes, p.bytes, p.n);
        if (p.flags & RIGHT_ID)
            p.n = append_id(bytes, p.n, id);
        if (packet_send(sock, bytes, p.n, p.flags & WITH_FD ? file : -1, MSG_DONTWAIT) < 0)
            return 0;
        if (settles(bytes, p.n, id))
            return 1;
    }
    return 0;
}

static void serve(int sock)
{
    static uint8_t bytes[PACKET_MAX];
    ssize_t n;
    int fd;

    while ((n = packet_receive(sock, bytes, sizeof bytes, 0, &fd)) > 0) {
        Diskalloc__V1__Request *q = diskalloc__v1__request__unpack(NULL, (size_t)n, bytes);
        int more;

        FUZZ_ASSERT(q && fd < 0);
        // Nobody waits for the answer to that.
        more = q->body_case == DISKALLOC__V1__REQUEST__BODY_DETACH_REGION || answer(sock, q->id);
        diskalloc__v1__request__free_unpacked(q, NULL);
        if (!more)
            return;
    }
}

// Serves one input's connections, then ends.
static void *run(void *unused)
{
    (void)unused;
    for (;;) {
        int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (sock < 0)
            return NULL;
        serve(sock);
        close(sock);
    }
}

static void start(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(a.sun_path, sizeof a.sun_path, "%s/socket", fuzz_directory());
    snprintf(address, sizeof address, "unix:%s", a.sun_path);
    file = memfd_create("region", MFD_CLOEXEC);
    FUZZ_ASSERT(file >= 0 && ftruncate(file, FILE_SIZE) == 0);
    unlink(a.sun_path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    FUZZ_ASSERT(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 8) == 0);
}

static void use_region(struct diskalloc_region *r)
{
    uint64_t size = diskalloc_region_size(r);

    FUZZ_ASSERT(size <= diskalloc_region_reserve(r));
    FUZZ_ASSERT(strlen(diskalloc_region_handle(r)) == 32);
    diskalloc_region_resize(r, size + 4096);
    diskalloc_region_resize(r, size / 2);
    diskalloc_region_refresh(r);
    diskalloc_region_commit(r, 0, 8, 0);
    diskalloc_region_fd(r);
    FUZZ_ASSERT(diskalloc_region_size(r) <= diskalloc_region_reserve(r));
    diskalloc_region_close(r);
}

// Added since the first conversations of the corpus were found, which go on as they did.
static void use_copy(struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL, *copy = NULL;

    o.reserve = 64 << 20;
    if (diskalloc_region_create(da, &o, &r) < 0)
        return;
    if (diskalloc_region_clone(r, "copy", &o, &copy) == 0) {
        FUZZ_ASSERT(copy && diskalloc_region_size(copy) <= diskalloc_region_reserve(copy));
        diskalloc_region_close(copy);
    }
    diskalloc_region_discard(r, 0, 4096);
    diskalloc_region_restore(r, 0, 4096);
    diskalloc_region_refresh(r);
    FUZZ_ASSERT(diskalloc_region_size(r) <= diskalloc_region_reserve(r));
    diskalloc_region_close(r);
}

static int is_text(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

static void read_lists(struct diskalloc *da)
{
    struct diskalloc_region_info info;
    struct diskalloc_event event;
    uint64_t cursor = 0;

    for (int i = 0; i < LISTED_MOST && diskalloc_next_region(da, &cursor, &info, sizeof info) == 1; i++)
        FUZZ_ASSERT(is_text(info.handle, sizeof info.handle) && is_text(info.name, sizeof info.name));
    for (int i = 0; i < LISTED_MOST && diskalloc_next_event(da, &event, sizeof event) == 1; i++) {
        FUZZ_ASSERT(event.kind > DISKALLOC_EVENT_NONE && event.kind <= DISKALLOC_EVENT_CLONE_PROGRESS);
        FUZZ_ASSERT(is_text(event.limit_name, sizeof event.limit_name) && is_text(event.handle, sizeof event.handle));
    }
}

static void use(struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc_usage usage;

    o.reserve = 64 << 20;
    if (diskalloc_region_create(da, &o, &r) == 0)
        use_region(r);
    diskalloc_get_usage(da, NULL, &usage, sizeof usage);
    r = NULL;
    if (diskalloc_region_open(da, "name", &o, &r) == 0)
        use_region(r);
    diskalloc_region_unlink(da, "name");
    diskalloc_event_fd(da);
    use_copy(da);
    read_lists(da);
    diskalloc_close(da);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    pthread_t thread;

    start();
    script.data = data;
    script.left = n;
    o.reconnect_timeout_ms = 0;
    FUZZ_ASSERT(pthread_create(&thread, NULL, run, NULL) == 0);
    if (diskalloc_open(address, &o, &da) == 0)
        use(da);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    close(file);
    return 0;
}
