// The answers of the server: a client may look at what it has got, and change nothing.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/fence/server/abi.h"
#include "daemon/fence/server/state.h"
#include "proto/util/cleanup.h"

// ERROR: 0 or -errno.  False: the process has ended meanwhile, and nothing was taken over.
static bool reply(struct server *s, unsigned lane, uint64_t unique, int error, const void *data, size_t length)
{
    struct fuse_out_header h = {.error = error, .unique = unique};
    struct iovec parts[2] = {{&h, sizeof h}, {(void *)data, error ? 0 : length}};

    h.len = (uint32_t)(parts[0].iov_len + parts[1].iov_len);
    return writev(s->lanes[lane].fuse, parts, 2) >= 0;
}

static void refuse(struct server *s, unsigned lane, const struct fuse_in_header *h, int error)
{
    reply(s, lane, h->unique, error, NULL, 0);
}

// The number of a node is its address: make_node's, as the kernel knows no others but the root's.
static struct server_node *node_of(uint64_t id)
{
    uintptr_t address = (uintptr_t)id;
    struct server_node *n;

    memcpy(&n, &address, sizeof n);
    return n;
}

// INODE: as the client is to see it.  The size may be out of date at once; it is asked for each time.
static struct fuse_attr attributes(uint64_t inode, const struct stat *st)
{
    return (struct fuse_attr){.ino = inode,
                              .size = (uint64_t)st->st_size,
                              .blocks = (uint64_t)st->st_blocks,
                              .atime = (uint64_t)st->st_atim.tv_sec,
                              .mtime = (uint64_t)st->st_mtim.tv_sec,
                              .ctime = (uint64_t)st->st_ctim.tv_sec,
                              .mode = S_IFREG | 0600,
                              .nlink = 1,
                              .uid = geteuid(),
                              .gid = getegid(),
                              .blksize = 4096};
}

static struct server_node *make_node(struct server *s, unsigned number)
{
    struct server_lane *lane = &s->lanes[number];
    struct server_node *n = lane->n_nodes < SERVER_MOST_NODES ? calloc(1, sizeof *n) : NULL;

    if (!n)
        return NULL;
    n->inode = lane->awaited.inode;
    n->identity = lane->awaited.identity;
    n->owner = lane->awaited.owner;
    n->handle = lane->awaited.handle;
    n->is_mark = lane->awaited.is_mark;
    n->awaits_open = lane->awaited.read_only;
    server_node_add(&s->nodes, n);
    lane->n_nodes++;
    return n;
}

static void drop_node(struct server *s, unsigned lane, struct server_node *n)
{
    server_node_free(n);
    s->lanes[lane].n_nodes--;
}

// Registers the disk's file with the kernel.  0 or -errno.
static int register_file(struct server_lane *lane)
{
    const struct fuse_abi_backing map = {.fd = lane->file};
    int id = ioctl(lane->fuse, FUSE_ABI_BACKING_OPEN, &map);

    if (id < 0)
        return -errno;
    lane->backing = (uint32_t)id;
    cleanup_close(&lane->file);
    lane->file = -1;
    return 0;
}

static struct fuse_open_out opened(uint32_t backing)
{
    return (struct fuse_open_out){
        .open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH | (backing ? FUSE_ABI_OPEN_PASSTHROUGH : 0), .padding = backing};
}

// The daemon makes a node, with a descriptor.  If the client may only read, that descriptor is the daemon's alone, and
// the node is opened once more.
static void answer_tmpfile(struct server *s, unsigned number, const struct fuse_in_header *h)
{
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {0};
    struct server_lane *lane = &s->lanes[number];
    struct server_node *n = NULL;
    struct stat st = {0};
    int r;

    server_read_announcements(s);
    r = !lane->awaits || lane->file < 0 ? -EPERM : fstat(lane->file, &st) < 0 ? -errno : 0;
    if (r == 0) {
        n = make_node(s, number);
        r = n ? 0 : -ENFILE;
    }
    if (r == 0 && !n->awaits_open)
        r = register_file(lane);
    lane->awaits = false;
    if (r == 0) {
        out.entry.nodeid = (uintptr_t)n;
        out.entry.attr = attributes(n->inode, &st);
        out.open = opened(lane->backing);
    }
    if ((!reply(s, number, h->unique, r, &out, sizeof out) || r < 0) && n)
        drop_node(s, number, n);
}

// Only the daemon's own open of a node for reading is expected.
static void answer_open(struct server *s, unsigned number, const struct fuse_in_header *h)
{
    const struct fuse_open_in *in = (const void *)(h + 1);
    struct server_lane *lane = &s->lanes[number];
    struct server_node *n = h->nodeid == FUSE_ABI_ROOT ? NULL : node_of(h->nodeid);
    struct fuse_open_out out;
    int r =
        n && n->awaits_open && lane->file >= 0 && (in->flags & O_ACCMODE) == O_RDONLY ? register_file(lane) : -EACCES;

    if (r == 0)
        n->awaits_open = false;
    out = opened(lane->backing);
    reply(s, number, h->unique, r, &out, sizeof out);
}

static void answer_root(struct server *s, unsigned lane, const struct fuse_in_header *h)
{
    struct fuse_attr_out out = {
        .attr = {.ino = FUSE_ABI_ROOT, .mode = S_IFDIR | 0700, .nlink = 2, .uid = geteuid(), .gid = getegid()}};

    reply(s, lane, h->unique, 0, &out, sizeof out);
}

// Programs learn from statfs what kind of file system this is.
static void answer_statfs(struct server *s, unsigned lane, const struct fuse_in_header *h)
{
    struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = 255}};

    reply(s, lane, h->unique, 0, &out, sizeof out);
}

static void submit(struct server *s, unsigned lane, const struct fuse_in_header *h, struct slow_job *job)
{
    const struct server_node *n = node_of(h->nodeid);
    int r;

    if (h->nodeid == FUSE_ABI_ROOT) {
        refuse(s, lane, h, -EPERM);
        return;
    }
    job->owner = n->owner;
    job->handle = n->handle;
    job->inode = n->inode;
    job->lane = lane;
    job->unique = h->unique;
    r = slow_submit(s->slow, job);
    if (r < 0)
        refuse(s, lane, h, r);
}

static void submit_read(struct server *s, unsigned lane, const struct fuse_in_header *h)
{
    const struct fuse_read_in *in = (const void *)(h + 1);
    struct slow_job job = {.kind = SLOW_READ, .offset = in->offset};

    job.size = in->size < SERVER_MOST_READ ? in->size : SERVER_MOST_READ;
    submit(s, lane, h, &job);
}

static void submit_seek(struct server *s, unsigned lane, const struct fuse_in_header *h)
{
    const struct fuse_lseek_in *in = (const void *)(h + 1);
    struct slow_job job = {.kind = SLOW_SEEK, .offset = in->offset, .whence = (int)in->whence};

    submit(s, lane, h, &job);
}

// Each node is looked up once, when it is made.
static void forget(struct server *s, unsigned lane, uint64_t id)
{
    if (id != FUSE_ABI_ROOT && id != 0)
        drop_node(s, lane, node_of(id));
}

static void forget_many(struct server *s, unsigned lane, const struct fuse_in_header *h, size_t length)
{
    const struct fuse_batch_forget_in *in = (const void *)(h + 1);
    const struct fuse_forget_one *each = (const void *)(in + 1);

    for (uint32_t i = 0; i < in->count && (const uint8_t *)(each + i + 1) <= (const uint8_t *)h + length; i++)
        forget(s, lane, each[i].nodeid);
}

// Requests about which the client waits for the disk.  False: it is none of these.
static bool answer_later(struct server *s, unsigned lane, const struct fuse_in_header *h)
{
    struct slow_job job = {.kind = h->opcode == FUSE_FSYNC ? SLOW_SYNC : SLOW_STAT};

    switch (h->opcode) {
    case FUSE_GETATTR:
        if (h->nodeid == FUSE_ABI_ROOT)
            answer_root(s, lane, h);
        else
            submit(s, lane, h, &job);
        return true;
    case FUSE_FSYNC:
        submit(s, lane, h, &job);
        return true;
    case FUSE_READ:
        submit_read(s, lane, h);
        return true;
    case FUSE_LSEEK:
        submit_seek(s, lane, h);
        return true;
    default:
        return false;
    }
}

static void answer(struct server *s, unsigned lane, size_t length)
{
    const struct fuse_in_header *h = (const void *)s->buffer;

    if (answer_later(s, lane, h))
        return;
    switch (h->opcode) {
    case FUSE_TMPFILE:
        answer_tmpfile(s, lane, h);
        break;
    case FUSE_OPEN:
        answer_open(s, lane, h);
        break;
    case FUSE_FORGET:
        forget(s, lane, h->nodeid);
        break;
    case FUSE_BATCH_FORGET:
        forget_many(s, lane, h, length);
        break;
    case FUSE_INTERRUPT:
        break;
    case FUSE_STATFS:
        answer_statfs(s, lane, h);
        break;
    case FUSE_RELEASE:
        refuse(s, lane, h, 0);
        break;
    case FUSE_SETATTR:
    case FUSE_WRITE:
    case FUSE_FALLOCATE:
        refuse(s, lane, h, -EPERM);
        break;
    case FUSE_ACCESS:
        refuse(s, lane, h, -EACCES);
        break;
    default: // the kernel does not ask again for most of these
        refuse(s, lane, h, -ENOSYS);
    }
}

bool server_serve(struct server *s, unsigned lane)
{
    ssize_t n = read(s->lanes[lane].fuse, s->buffer, sizeof s->buffer);

    // ENOENT: the request was taken back.  EINTR and the like: another is read later.
    if (n <= 0)
        return n < 0 && errno == ENOENT;
    answer(s, lane, (size_t)n);
    return true;
}

void server_answer_slow(struct server *s, const struct slow_job *job)
{
    struct fuse_attr_out attr = {.attr = attributes(job->inode, &job->st)};
    struct fuse_lseek_out found = {.offset = job->found};

    switch (job->kind) {
    case SLOW_STAT:
        reply(s, job->lane, job->unique, job->result, &attr, sizeof attr);
        break;
    case SLOW_SEEK:
        reply(s, job->lane, job->unique, job->result, &found, sizeof found);
        break;
    case SLOW_READ:
        reply(s, job->lane, job->unique, job->result, job->bytes, job->found);
        break;
    case SLOW_SYNC:
        reply(s, job->lane, job->unique, job->result, NULL, 0);
        break;
    }
}
