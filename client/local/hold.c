// The descriptor of a region's file, which the program may have closed, and the locks that show what this region does
// with the file.
#include <errno.h>
#include <fcntl.h>

#include "client/local/local_internal.h"
#include "client/local/lock.h"
#include "client/util/error.h"

// Another way to the file, where there is no /proc.
static int reopen_by_name(struct local_backing *l)
{
    int r = local_hold_directory(l->local), fd;

    if (r < 0)
        return r;
    fd = file_ops_system.open_at(l->local->dir.fd, l->name, l->base.file.access | O_NONBLOCK | O_NOCTTY, 0);
    r = fd < 0 ? fd : descriptor_replace(&l->base.file, fd);
    return r == -ENOENT || r == -ESTALE ? error_why(-ESTALE, "the region was unlinked") : r;
}

int local_lock_writer(struct local_backing *l)
{
    int r = l->base.read_only ? 0 : local_enter_gate(l);
    bool guarded = r > 0;

    if (r < 0 || l->base.read_only)
        return r;
    r = local_lock_writing(l->base.file.fd, l->sole_writer, guarded);
    if (r != -EBUSY)
        return r;
    return error_why(r, guarded || !l->sole_writer ? "another user is the region's sole writer"
                                                   : "another user has the region for writing, or has locked its file");
}

// Opens the file again if the program has closed its descriptor.  The lock that shows others that the region is
// attached is still there: it belongs to the open file, which the mapping keeps.  It would also keep this region from
// being alone.  So the region maps the newly opened file instead, which has a lock of its own by then.  A sole
// writer's lock can be had only when the first open file is unmapped: so the next call takes it.
int local_hold(struct backing *b)
{
    struct local_backing *l = (struct local_backing *)b;
    int r = descriptor_check(&b->file);

    if (r == 1) {
        r = l->lock_is_due ? local_lock_writer(l) : 0;
        l->lock_is_due = r < 0;
        return r;
    }
    if (r < 0)
        return error_why(r, "looking at the descriptor of the region's file");
    r = descriptor_reopen(&b->file, b->mapped_at);
    if (r < 0 && l->name[0])
        r = reopen_by_name(l);
    if (r == 0)
        r = local_lock_attach(b->file.fd);
    if (r == 0)
        local_keep_from_aging(b->file.fd);
    if (r == 0 && l->sole_writer)
        l->lock_is_due = true;
    else if (r == 0)
        r = local_lock_writer(l);
    // Without its locks the file counts as not opened: the next call begins anew.
    if (r < 0)
        descriptor_lose(&b->file);
    return r < 0 ? r : 1;
}
