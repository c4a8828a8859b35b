// The backing of a file that the caller gave: no daemon, no record, no quota, no locks.  What other programs do with
// the file is the caller's affair.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "client/local/blocks.h"
#include "client/local/local.h"
#include "client/util/error.h"
#include "proto/spill/fileops.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

struct file_backing {
    struct backing base;
    uint64_t filled; // bytes: below, the holes that the file came with have been filled
};

// Another program may have made the file longer, with holes, or shorter.
static void note_size(struct backing *b, uint64_t size)
{
    struct file_backing *f = (struct file_backing *)b;

    b->size = size;
    f->filled = u64_min(f->filled, size);
    b->may_have_holes = !b->sparse && !b->read_only && f->filled < size;
}

// The file has no locks of the library: the region need not map the newly opened file.
static int file_hold(struct backing *b)
{
    int r = descriptor_check(&b->file);

    if (r < 0)
        return error_why(r, "looking at the descriptor of the region's file");
    return r == 1 ? 0 : descriptor_reopen(&b->file, b->mapped_at);
}

static int file_refresh(struct backing *b)
{
    struct stat st;
    int r = file_ops_system.stat(b->file.fd, &st);

    if (r < 0)
        return r;
    note_size(b, (uint64_t)st.st_size);
    return 0;
}

// A resize promises blocks for every byte of the file, also for the holes that the file came with: those below SIZE
// are filled.  MORE: bytes that are to be allocated afterwards.
static int fill_holes(struct backing *b, uint64_t size, uint64_t more)
{
    struct file_backing *f = (struct file_backing *)b;
    int r = b->may_have_holes ? spill_fill_holes(b->file.fd, f->filled, size, &b->discarded, more) : 0;

    if (r == 0)
        f->filled = u64_max(f->filled, size);
    return r;
}

static int file_grow(struct backing *b, uint64_t size)
{
    int r = file_refresh(b);

    if (r == 0)
        r = fill_holes(b, b->size, size > b->size ? size - b->size : 0);
    b->fresh_from = b->size;
    if (r == 0 && b->size < size)
        r = spill_grow(b->file.fd, b->size, size, b->sparse);
    if (r < 0)
        return r;
    ((struct file_backing *)b)->filled = u64_max(b->size, size);
    note_size(b, u64_max(b->size, size));
    return 0;
}

static int file_shrink(struct backing *b, uint64_t size)
{
    int r = fill_holes(b, size, 0);

    if (r < 0)
        return r;
    r = file_ops_system.truncate(b->file.fd, size);
    if (r < 0) {
        file_refresh(b); // the truncate may have cut the file all the same
        return r;
    }
    note_size(b, size);
    ranges_cut(&b->discarded, size);
    return 0;
}

static int file_discard(struct backing *b, uint64_t offset, uint64_t length)
{
    return spill_discard(b->file.fd, &b->discarded, offset, length);
}

static int file_restore(struct backing *b, uint64_t offset, uint64_t length)
{
    return spill_restore(b->file.fd, &b->discarded, offset, length, false);
}

static int file_commit(struct backing *b, uint64_t used, uint32_t element_size, bool durable)
{
    int r = durable ? file_ops_system.sync(b->file.fd) : 0;

    if (r < 0)
        return r;
    b->used = used;
    b->element_size = element_size;
    b->committed = true;
    return 0;
}

static void file_close(struct backing *b, bool inherited)
{
    (void)inherited;
    descriptor_close(&b->file);
    ranges_deinit(&b->discarded);
    free(b);
}

static const struct backing_ops file_backing_ops = {
    .grow = file_grow,
    .shrink = file_shrink,
    .discard = file_discard,
    .restore = file_restore,
    .refresh = file_refresh,
    .commit = file_commit,
    .hold = file_hold,
    .close = file_close,
};

static int check(int fd, bool *ret_read_only)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL), r;

    if (flags < 0)
        return error_why(-errno, "descriptor %d", fd);
    r = file_ops_system.stat(fd, &st);
    if (r < 0)
        return r;
    if (!S_ISREG(st.st_mode) || flags & O_PATH)
        return error_why(-EINVAL, "descriptor %d is no open regular file", fd);
    if ((flags & O_ACCMODE) == O_WRONLY)
        return error_why(-EACCES, "descriptor %d is open for writing only", fd);
    *ret_read_only = (flags & O_ACCMODE) == O_RDONLY;
    return 0;
}

int file_backing_new(int fd, uint32_t flags, struct backing **ret)
{
    _cleanup_free_ struct file_backing *f = calloc(1, sizeof *f);
    bool read_only = false;
    int r = check(fd, &read_only), copy;

    if (r < 0)
        return r;
    if (!f)
        return -ENOMEM;
    f->base = (struct backing){
        .ops = &file_backing_ops,
        .keeps_fd = true,
        .agreed_to = UINT64_MAX,
        .is_callers_file = true,
        .read_only = read_only || flags & DISKALLOC_REGION_READ_ONLY,
        .sparse = flags & DISKALLOC_REGION_SPARSE,
    };
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    r = copy < 0 ? -errno : descriptor_keep(&f->base.file, copy);
    if (r == 0)
        r = file_refresh(&f->base);
    if (r < 0) {
        descriptor_close(&f->base.file);
        return r;
    }
    *ret = &steal(&f)->base;
    return 0;
}
