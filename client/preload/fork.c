// A fork of a program whose memory lies on disk.
//
// The mappings of a region are shared, and so a child's stores would reach its parent.  To the program it is private
// memory.  So in the child each piece of a large block is mapped again at its address, private: the child reads what
// the file has, and what it writes is memory of its own (copied by the kernel, page by page, as after any fork).  That
// happens before any other code of the child runs.  It is the first handler in the child, as this library's constructor
// runs before all others (-z initfirst) and handlers for children run in the order in which they were registered.
//
// The parent goes on with the file.  So a child may see what the parent writes later, into a block that both have, in a
// page that the child has not written to: the kernel can't keep pages of a file as they were for one of two.  What the
// parent frees is not used for anything else while a child lives that has it (EXTENT_HELD), and stays as it was.
// Small blocks (small.c) are many to a page, and the parent's list of free ones changes all the time: a child that saw
// half of that could not work.  They are copied before the fork, to a region that the child has for itself.
//
// Before the fork two handlers run, in this order: `prepare` here, which waits until no thread changes blocks and has
// descriptors of the regions' files; then the client library's, which takes its own locks.  Handlers before a fork run
// in the reverse of the order in which they were registered, so this one is registered once the client is open.
// Between the two handlers of the child, other handlers may run: what they allocate comes from the allocator behind.
//
// vfork and posix_spawn run no handlers, and need none: the child uses its parent's memory until it runs a program.
// clone(2) runs none either; a child that was made by it shares the memory with its parent.
#include "client/preload/fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/inside.h"
#include "client/preload/kernel.h"
#include "client/preload/limit.h"
#include "client/preload/log.h"
#include "client/preload/opened.h"
#include "client/preload/own.h"
#include "client/preload/small.h"

static bool is_prepared; // this process is forking: set on the one thread that does

static void prepare(void)
{
    inside++;
    blocks_lock();
    for (unsigned i = 0; i < disk.n_regions; i++)
        if (!disk.regions[i].inherited)
            disk.regions[i].fd = diskalloc_region_fd(disk.regions[i].region);
    small_prepare_fork();
    is_prepared = true;
}

static void parent(void)
{
    is_prepared = false;
    small_after_fork();
    disk.forks++;
    blocks_unlock();
    inside--;
}

// Nothing of a region is accessible at its own addresses in the child, except for the blocks that lie there.
static void make_private(const struct piece *p)
{
    int fd = disk.regions[p->region].fd;
    void *at = (void *)p->at;

    if (fd >= 0 && kernel_mmap(at, p->length, p->access, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd,
                               (int64_t)p->offset) != MAP_FAILED)
        return;
    kernel_mprotect(at, p->length, p->access & ~PROT_WRITE);
    log_line("a block is for reading only in this child: the descriptor of its file is lost");
}

static void child_first(void)
{
    int saved = errno;

    // The client was not open yet, so there are no regions; another thread may have been about to open it.
    if (!is_prepared) {
        opened_forked();
        blocks_forked();
        small_forked();
        return;
    }
    for (unsigned i = 0; i < disk.n_regions; i++)
        if (!disk.regions[i].inherited && diskalloc_region_size(disk.regions[i].region) > 0)
            kernel_vacate(disk.regions[i].base, diskalloc_region_size(disk.regions[i].region));
    for (size_t i = 0; i < blocks.pieces.n; i++) {
        const struct piece *p = &blocks.pieces.items[i];

        if (p->region != PIECE_MEMORY && !disk.regions[p->region].inherited)
            make_private(p);
    }
    small_forked();
    errno = saved;
}

static void child(void)
{
    is_prepared = false;
    opened_forked();
    blocks_forked();
    limit_forked();
    own_forked();
    inside = 0;
}

void fork_begin(void)
{
    pthread_atfork(NULL, NULL, child_first);
}

void fork_watch(void)
{
    pthread_atfork(prepare, parent, child);
}
