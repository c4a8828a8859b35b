// The mounts of the server: making them, and the daemon's opens of nodes there.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/fence/server/abi.h"
#include "daemon/fence/server/state.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"

static int set_number(int fs, const char *key, unsigned value, const char *format)
{
    char text[16];

    snprintf(text, sizeof text, format, value);
    return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0) < 0 ? -errno : 0;
}

static int configure(int fs, int fuse)
{
    int r = set_number(fs, "fd", (unsigned)fuse, "%u");

    if (r == 0)
        r = set_number(fs, "rootmode", 040000, "%o");
    if (r == 0)
        r = set_number(fs, "user_id", geteuid(), "%u");
    if (r == 0)
        r = set_number(fs, "group_id", getegid(), "%u");
    // Clients may ask for the size of what they have got.
    if (r == 0)
        r = fsconfig(fs, FSCONFIG_SET_FLAG, "allow_other", NULL, 0) < 0 ? -errno : 0;
    if (r == 0)
        r = fsconfig(fs, FSCONFIG_SET_STRING, "source", "diskallocd", 0) < 0 ? -errno : 0;
    return r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ? -errno : r;
}

// The mount is attached to no directory.  A descriptor of its own directory, or -errno.
static int make_mount(int fuse)
{
    const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME;
    _cleanup_close_ int fs = fsopen("fuse", FSOPEN_CLOEXEC);
    int r = fs < 0 ? -errno : configure(fs, fuse);

    if (r < 0)
        return r;
    r = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    return r < 0 ? -errno : r;
}

// The kernel's first request, which says what it can do.
static int shake_hands(int fuse)
{
    struct {
        struct fuse_in_header header;
        struct fuse_init_in init;
        uint8_t more[SERVER_MOST_WRITE + 4096];
    } in;
    struct {
        struct fuse_out_header header;
        struct fuse_init_out init;
    } out = {
        .header = {.len = sizeof out},
        .init = {.major = FUSE_KERNEL_VERSION,
                 .minor = FUSE_ABI_MINOR,
                 .flags = FUSE_INIT_EXT | FUSE_MAX_PAGES,
                 .flags2 = FUSE_ABI_INIT_PASSTHROUGH,
                 .max_background = 64,
                 .congestion_threshold = 48,
                 .max_write = SERVER_MOST_WRITE,
                 .time_gran = 1,
                 .max_pages = SERVER_MOST_READ / 4096,
                 // max_stack_depth, which came with Linux 6.9: the disk's files lie on a plain file system.
                 .unused = {1}},
    };
    ssize_t n = read(fuse, &in, sizeof in);

    if (n < 0)
        return -errno;
    if (in.header.opcode != FUSE_INIT || n < (ssize_t)(sizeof in.header + sizeof in.init))
        return -EOPNOTSUPP;
    out.header.unique = in.header.unique;
    if (in.init.minor < FUSE_ABI_MINOR || !(in.init.flags & FUSE_INIT_EXT) ||
        !(in.init.flags2 & FUSE_ABI_INIT_PASSTHROUGH))
        return -EOPNOTSUPP;
    return write(fuse, &out, sizeof out) < 0 ? -errno : 0;
}

int server_lane_open(struct server_lane *lane, int *ret_dir)
{
    _cleanup_close_ int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int dir = fuse < 0 ? -errno : make_mount(fuse), r;

    if (dir < 0)
        return dir;
    r = shake_hands(fuse);
    if (r < 0) {
        close(dir);
        return r;
    }
    *lane = (struct server_lane){.fuse = steal_fd(&fuse), .file = -1};
    *ret_dir = dir;
    return 0;
}

void server_lane_opened(struct server_lane *lane)
{
    if (lane->backing)
        ioctl(lane->fuse, FUSE_ABI_BACKING_CLOSE, &lane->backing);
    lane->backing = 0;
    cleanup_close(&lane->file);
    lane->file = -1;
    lane->awaits = false;
}

static void await(struct server_lane *lane, const struct passthrough_packet *p, int file)
{
    server_lane_opened(lane);
    lane->awaited = *p;
    lane->file = file;
    lane->awaits = true;
}

void server_read_announcements(struct server *s)
{
    struct passthrough_packet p;
    ssize_t n;
    int fd = -1;

    while ((n = packet_receive(s->opens, &p, sizeof p, MSG_DONTWAIT, &fd)) > 0) {
        if (n == (ssize_t)sizeof p && p.lane < s->n_lanes && p.kind == PASSTHROUGH_OPEN)
            await(&s->lanes[p.lane], &p, steal_fd(&fd));
        cleanup_close(&fd);
        fd = -1;
    }
}
