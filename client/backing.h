// The file of a region, and the functions that change it: the part of the seam (client/backend.h) that a region uses.
// All functions but close return 0 or a negative errno, with the reason noted (client/util/error.h), unless something
// else is said.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/util/descriptor.h"
#include "proto/util/name.h"
#include "proto/util/ranges.h"

enum { DISCARD_BLOCK = 4096 }; // bytes: parts of whole blocks are discarded, and of whole pages where these are larger

// What was heard of a backing without asking.
struct backing_news {
    bool quiet;          // nobody has changed it since the last refresh
    bool asked;          // somebody asks whether the backing may be cut
    bool agreed;         // the region has agreed to that, and it still stands
    uint64_t ask;        // number of the ask
    uint64_t asked_size; // bytes that would be left
};

// A region's file, owned by the region.  The region's lock guards it: one thread at a time, except that another
// region's backing of the same file may be used or closed meanwhile.
struct backing {
    const struct backing_ops *ops;
    struct handle handle;
    struct descriptor file; // opened and closed by the backing; not open now if there is none
    bool keeps_fd;          // file stays open as long as the backing exists, unless the program closes it
    const void *mapped_at;  // where the region has mapped the file; NULL: not yet.  Written by client/region
    bool read_only, sparse, named;
    bool made;            // the request that got this backing has made the region
    bool is_callers_file; // made by file_backing_new
    bool may_have_holes;  // of a caller's file: a grow to its size is needed, so that all bytes below have blocks
    // An answer was lost: size and the next three may be wrong until refresh.  unsure_parts: discarded too;
    // client/region clears it.
    bool unsure, unsure_parts;
    // As the backend said last; written by each function below that succeeds.
    uint64_t size;           // bytes granted
    uint64_t used;           // bytes of the last commit, if committed
    uint32_t element_size;   // bytes, of the last commit
    bool committed;          // there was a commit
    struct ranges discarded; // whole blocks below size
    // How long a grow may wait for other processes, where keeps_fd: a time of proto/util/clock.h; 0: some seconds.
    // Written by client/region.
    uint64_t grow_until;
    // How long a shrink may wait for the agreement of others who have the region attached: as grow_until; 0: not at
    // all.
    uint64_t agree_until;
    // The region has agreed that the backing is cut to so many bytes, and has access to no more; UINT64_MAX: it has
    // not.  Written by client/region.
    uint64_t agreed_to;
    // Written where keeps_fd: the size that the last grow found.  Nobody has written to the bytes behind it.
    _Atomic uint64_t fresh_from;
};

struct backing_ops {
    // Grants at least SIZE bytes.
    int (*grow)(struct backing *b, uint64_t size);
    // Begins to grant SIZE bytes before they are needed, without waiting.  0; -EDQUOT: refused; another errno: not
    // now.  Notes no reason.  NULL: asking early is of no use.
    int (*grow_early)(struct backing *b, uint64_t size);
    // Takes over the answer to grow_early.  1: granted; 0: there was no early grow; -EAGAIN, if not WAIT: there is no
    // answer yet; -EDQUOT: refused; another errno: nobody knows.  NULL: grow_early is done when it returns.
    int (*settle_early)(struct backing *b, bool wait);
    // Cuts the file from b->size to SIZE.  -EAGAIN: the size was not b->size, and b->size is the true one now.
    int (*shrink)(struct backing *b, uint64_t size);
    // Called without the region's lock.  Waits until a grow to SIZE may succeed; UNTIL is a time of
    // proto/util/clock.h.  NULL: the backend can't tell, and the caller tries again.
    int (*await_room)(struct backing *b, uint64_t size, uint64_t until);
    // Both of whole blocks within the size.
    int (*discard)(struct backing *b, uint64_t offset, uint64_t length);
    int (*restore)(struct backing *b, uint64_t offset, uint64_t length);
    int (*refresh)(struct backing *b);
    // What was heard of B; does not wait, and notes no reason.  NULL, like the next two: nobody tells.
    void (*look)(struct backing *b, struct backing_news *ret);
    // The region agrees to what NEWS asks: it has no access any more to the bytes behind that size.
    void (*agree)(struct backing *b, const struct backing_news *news);
    // The region takes back what it has agreed to.  When that came too late, b->size is the size after the cut.
    int (*disagree)(struct backing *b);
    // USED and ELEMENT_SIZE in bytes.  DURABLE: on disk when the function returns.
    int (*commit)(struct backing *b, uint64_t used, uint32_t element_size, bool durable);
    // Called before each of the functions above, where keeps_fd (else NULL).  Opens b->file again if the program has
    // closed it.  1: it was opened, and the region has to map that open file in place of the first one, which has
    // locks; 0; -EBADF, -ESTALE, -errno.
    int (*hold)(struct backing *b);
    // The next two are NULL where keeps_fd.  The region has mapped the file: the backing may close b->file.
    void (*mapped)(struct backing *b);
    // A new descriptor of the file, or -errno.  KEEP: the descriptor becomes b->file, and the backing closes it;
    // otherwise the caller does.
    int (*open_file)(struct backing *b, bool keep);
    // Frees the backing.  INHERITED: the region came through fork; the daemon, or the directory, is told nothing.
    void (*close)(struct backing *b, bool inherited);
    // Frees a backing that has a name and was made by a call that failed: the region goes too, unless others have it by
    // now.  NULL: there are no names.
    void (*abandon)(struct backing *b);
};
