// See silent_file.h.
#include "tests/lib/silent_file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "proto/packet.h"
#include "tests/lib/actor.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { MOST_FDS = 8, MOST_BYTES = 4096 };

static char mounted_at[200];

static void reply(int fuse, const struct fuse_in_header *request, int error, const void *data, size_t length)
{
    struct fuse_out_header h = {.len = (uint32_t)(sizeof h + length), .error = error, .unique = request->unique};
    struct iovec parts[2] = {{&h, sizeof h}, {(void *)data, length}};

    if (writev(fuse, parts, 2) < 0 && errno != ENOENT)
        _exit(3);
}

static struct fuse_attr attributes(uint64_t inode)
{
    struct fuse_attr attr = {.ino = inode, .nlink = 1, .mode = S_IFDIR | 0755, .blksize = 4096};

    if (inode != 1) {
        attr.mode = S_IFREG | 0666;
        attr.size = 4096;
    }
    return attr;
}

static void answer(int fuse, const struct fuse_in_header *h)
{
    const void *body = h + 1;
    struct fuse_init_out init = {.major = 7,
                                 .minor = 31,
                                 .flags = FUSE_WRITEBACK_CACHE,
                                 .max_write = 1 << 16,
                                 .max_background = 12,
                                 .congestion_threshold = 10,
                                 .time_gran = 1};
    struct fuse_entry_out entry = {.nodeid = 2, .attr_valid = 1000, .entry_valid = 1000, .attr = attributes(2)};
    struct fuse_attr_out attr = {.attr_valid = 1000, .attr = attributes(h->nodeid)};
    struct fuse_open_out open_out = {.fh = 1};
    struct fuse_write_out written = {0};

    switch (h->opcode) {
    case FUSE_INIT:
        reply(fuse, h, 0, &init, sizeof init);
        break;
    case FUSE_LOOKUP:
        reply(fuse, h, 0, &entry, sizeof entry);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        reply(fuse, h, 0, &attr, sizeof attr);
        break;
    case FUSE_OPEN:
        reply(fuse, h, 0, &open_out, sizeof open_out);
        break;
    case FUSE_WRITE:
        written.size = ((const struct fuse_write_in *)body)->size;
        reply(fuse, h, 0, &written, sizeof written);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_FSYNC:
        reply(fuse, h, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        reply(fuse, h, -ENOSYS, NULL, 0);
    }
}

// Ends when LIFE, whose other end is the test's, hangs up.  Reading QUIET means silence.
_Noreturn static void serve(int fuse, int life, int quiet)
{
    static char buffer[1 << 18];
    struct pollfd p[] = {
        {.fd = life, .events = POLLIN}, {.fd = quiet, .events = POLLIN}, {.fd = fuse, .events = POLLIN}};
    char c;

    setsid();
    signal(SIGTERM, SIG_IGN);
    alarm(SILENT_FILE_SECONDS);
    for (;;) {
        poll(p, 3, -1);
        if (p[0].revents)
            _exit(0);
        if (p[1].revents) {
            if (read(quiet, &c, 1) == 1 && write(quiet, &c, 1) != 1)
                _exit(3);
            p[1].fd = p[2].fd = -1;
        } else if (p[2].revents && read(fuse, buffer, sizeof buffer) > 0)
            answer(fuse, (const struct fuse_in_header *)buffer);
    }
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(1);
    close(fd);
}

// Returns the device, or -1.
static int mount_it(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char options[128], map[64];
    int fuse;

    if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return -1;
    if (uid != 0) {
        write_text("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        write_text("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "%u %u 1", gid, gid);
        write_text("/proc/self/gid_map", map);
    }
    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fuse, uid, gid);
    if (fuse < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("silent", mounted_at, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
        return -1;
    return fuse;
}

struct order {
    unsigned n_fds; // 0: be quiet
    unsigned n;
    char bytes[MOST_BYTES];
};

static int send_files(int sock, const struct order *o, const char *path)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = (void *)o->bytes, .iov_len = o->n};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes};
    struct cmsghdr *c;
    int fds[MOST_FDS], r = 0;

    m.msg_controllen = CMSG_SPACE(o->n_fds * sizeof(int));
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(o->n_fds * sizeof(int));
    for (unsigned i = 0; i < o->n_fds; i++)
        NEED((fds[i] = open(path, O_RDWR | O_CLOEXEC)) >= 0);
    memcpy(CMSG_DATA(c), fds, o->n_fds * sizeof(int));
    if (sendmsg(sock, &m, MSG_NOSIGNAL) < 0)
        r = -errno;
    for (unsigned i = 0; i < o->n_fds; i++)
        close(fds[i]);
    return r;
}

_Noreturn static void host(int from_test, int life)
{
    static char page[4096];
    int fuse = mount_it(), quiet[2], file = -1, r = fuse < 0 ? -errno : 0;
    struct order *o = malloc(sizeof *o);
    char path[sizeof mounted_at + 3];

    NEED(o && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, quiet) == 0);
    if (r == 0 && fork() == 0) {
        close(from_test);
        close(quiet[0]);
        serve(fuse, life, quiet[1]);
    }
    close(quiet[1]);
    close(life);
    if (fuse >= 0)
        close(fuse);
    snprintf(path, sizeof path, "%s/f", mounted_at);
    if (r == 0)
        r = (file = open(path, O_RDWR | O_CLOEXEC)) < 0 ? -errno : 0;
    NEED(send(from_test, &r, sizeof r, 0) == sizeof r);
    for (;;) {
        int sock = -1;
        ssize_t n = packet_receive(from_test, o, sizeof *o, 0, &sock);

        if (n <= 0)
            _exit(0);
        if (o->n_fds > 0)
            r = send_files(sock, o, path);
        else
            r = pwrite(file, page, sizeof page, 0) == sizeof page && write(quiet[0], "q", 1) == 1 &&
                        read(quiet[0], page, 1) == 1
                    ? 0
                    : -EIO;
        if (sock >= 0)
            close(sock);
        NEED(send(from_test, &r, sizeof r, 0) == sizeof r);
    }
}

static int ask(const struct silent_file *f, const struct order *o, int sock)
{
    int r = -EIO;

    assert_int_equal(packet_send(f->to_host, o, sizeof *o, sock, 0), 0);
    assert_int_equal(recv(f->to_host, &r, sizeof r, 0), sizeof r);
    return r;
}

bool silent_file_begin(struct silent_file *f, uid_t uid)
{
    int ends[2], lives[2], r = -EIO;

    if (!*mounted_at)
        scratch_make_dir(mounted_at, sizeof mounted_at);
    if (uid != (uid_t)-1)
        assert_return_code(chown(mounted_at, uid, uid), errno);
    assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), errno);
    assert_return_code(pipe2(lives, O_CLOEXEC), errno);
    fflush(NULL);
    f->host = fork();
    assert_return_code(f->host, errno);
    if (f->host == 0) {
        close(ends[0]);
        close(lives[1]);
        alarm(0);
        if (uid != (uid_t)-1)
            actor_become(uid);
        prctl(PR_SET_DUMPABLE, 1);
        host(ends[1], lives[0]);
    }
    close(ends[1]);
    close(lives[0]);
    f->to_host = ends[0];
    f->life = lives[1];
    if (recv(f->to_host, &r, sizeof r, 0) == sizeof r && r == 0)
        return true;
    print_message("[ NOTE     ] no FUSE: %s\n", strerror(-r));
    silent_file_end(f);
    return false;
}

int silent_file_send(const struct silent_file *f, int sock, const void *bytes, size_t n, unsigned n_fds)
{
    struct order o = {.n_fds = n_fds, .n = (unsigned)n};

    assert_true(n <= sizeof o.bytes && n_fds <= MOST_FDS);
    memcpy(o.bytes, bytes, n);
    return ask(f, &o, sock);
}

void silent_file_hush(const struct silent_file *f)
{
    const struct order o = {0};

    assert_int_equal(ask(f, &o, -1), 0);
}

void silent_file_end(struct silent_file *f)
{
    close(f->life);
    close(f->to_host);
    waitpid(f->host, NULL, 0);
}
