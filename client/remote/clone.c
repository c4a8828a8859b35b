// Asking the daemon for a copy of a region.  The thread waits for as long as the copying takes; the events that tell
// how far it is are read meanwhile by whichever thread reads the connection, and kept for diskalloc_next_event.
#include <errno.h>

#include "client/remote/remote_internal.h"
#include "client/util/error.h"

// Sends the request, and makes the backing of what the reply describes.  MADE: see remote_take_answer.
static int ask(struct remote *remote, struct remote_backing *source, WireRequest *q, const struct handle *made,
               uint32_t flags, struct backing **ret)
{
    bool discarded = false;
    int r;

    do {
        struct answer a = {.fd = -1};

        r = remote_call(source, q, 0, 0, &a);
        if (r < 0)
            return r;
        r = remote_take_answer(remote, &a, made, flags, &discarded, ret);
        // The daemon's own sentences do not say so much.
        if (r == -EEXIST)
            error_why(r, "there is a region %.*s already", (int)q->clone_region->name.len,
                      (const char *)q->clone_region->name.data);
        if (r == -EOPNOTSUPP)
            error_why(r, "this daemon is too old to copy regions");
    } while (r == -EAGAIN);
    return r == 0 && discarded ? remote_complete(ret) : r;
}

int remote_clone(struct backend *backend, const struct clone_source *source, const struct region_name *name,
                 const struct backing_request *request, struct backing **ret)
{
    Diskalloc__V1__CloneRegion clone = DISKALLOC__V1__CLONE_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct handle handle;
    int r = handle_random(&handle);

    if (r < 0)
        return r;
    clone.source = field_handle(&source->backing->handle);
    clone.handle = field_handle(&handle);
    if (name)
        clone.name = field_text(name->name);
    clone.mode = request->mode;
    clone.flags = request->flags & (DISKALLOC_REGION_READ_ONLY | DISKALLOC_REGION_SOLE_WRITER);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_CLONE_REGION;
    q.clone_region = &clone;
    return ask((struct remote *)backend, (struct remote_backing *)source->backing, &q, &handle, clone.flags, ret);
}
