// A whole daemon, and one client that says anything.  It answers, or hangs up, and goes on; at the end no account
// holds anything that is not on disk (the daemon asserts it when it goes).
//
// A packet's flags: bit 0 set: the client does not wait for the reply.  The first packet's bit 1: it begins with an
// honest Hello.
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
#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"
#include "tests/fuzz/fuzz.h"

enum { NO_WAIT = 1, HONEST_HELLO = 2, PATIENCE_MS = 20, HELLO_MS = 10000 };

static struct daemon *the_daemon;
static pthread_t thread;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void ignore(void *data, const char *sentence)
{
    (void)data;
    (void)sentence;
}

static struct config *configure(void)
{
    char path[128], *error = NULL;
    struct config *c = NULL;
    FILE *f;

    snprintf(path, sizeof path, "%s/spill", fuzz_directory());
    FUZZ_ASSERT(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/diskallocd.conf", fuzz_directory());
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", fuzz_directory());
    f = fopen(path, "we");
    FUZZ_ASSERT(f);
    fprintf(f, "[daemon]\nkeep_free = 0\nsocket = %s\nspill_dir = %s/spill\n", address.sun_path, fuzz_directory());
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

static void stop(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(thread, NULL);
    daemon_free(the_daemon);
}

static void start(void)
{
    static struct settings_source source; // nothing that a reload would read

    FUZZ_ASSERT(names_new(&source.names) == 0);
    FUZZ_ASSERT(daemon_new(&source, configure(), -1, &the_daemon) == DAEMON_EXIT_OK);
    FUZZ_ASSERT(pthread_create(&thread, NULL, run, NULL) == 0);
    atexit(stop);
}

enum outcome { HUNG_UP, NOTHING, REPLIED };

// Waits for one reply, and reads all that are there.
static enum outcome read_replies(int sock, int timeout_ms)
{
    static uint8_t buffer[PACKET_MAX];
    struct pollfd p = {.fd = sock, .events = POLLIN};
    enum outcome outcome = NOTHING;

    while (poll(&p, 1, timeout_ms) > 0) {
        int fd = -1;
        ssize_t n = packet_receive(sock, buffer, sizeof buffer, MSG_DONTWAIT, &fd);
        Diskalloc__V1__Reply *reply;

        if (fd >= 0)
            close(fd);
        if (n <= 0)
            return HUNG_UP;
        reply = diskalloc__v1__reply__unpack(NULL, (size_t)n, buffer);
        FUZZ_ASSERT(reply);
        FUZZ_ASSERT(!reply->error || reply->error->code != DISKALLOC__V1__ERROR_CODE__OK);
        FUZZ_ASSERT((fd >= 0) == reply->has_fd);
        diskalloc__v1__reply__free_unpacked(reply, NULL);
        outcome = REPLIED;
        timeout_ms = 0;
    }
    return outcome;
}

// False: the daemon has hung up.  A daemon that hangs does neither.
static bool say_hello(int sock)
{
    static const uint8_t hello[] = {0x08, 0x01, 0x12, 0x04, 0x08, 0x01, 0x10, 0x01}; // id 1, versions 1 to 1
    enum outcome outcome;

    if (packet_send(sock, hello, sizeof hello, -1, 0) < 0)
        return false;
    outcome = read_replies(sock, HELLO_MS);
    FUZZ_ASSERT(outcome != NOTHING);
    return outcome == REPLIED;
}

static bool say(int sock, const struct fuzz_packet *p)
{
    if (packet_send(sock, p->bytes, p->n, -1, MSG_DONTWAIT) == 0 && p->flags & NO_WAIT)
        return true;
    return read_replies(sock, PATIENCE_MS) != HUNG_UP;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_packet p;
    bool open = true;
    int sock;

    if (!the_daemon)
        start();
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    FUZZ_ASSERT(sock >= 0 && connect(sock, (struct sockaddr *)&address, sizeof address) == 0);
    if (n > 0 && *data & HONEST_HELLO)
        open = say_hello(sock);
    while (open && fuzz_next_packet(&data, &n, &p))
        open = say(sock, &p);
    shutdown(sock, SHUT_WR);
    // The daemon hangs up when it has answered everything; a grow that waits for a limit may take any time.
    while (read_replies(sock, PATIENCE_MS) == REPLIED)
        continue;
    close(sock);
    return 0;
}
