// Giving the memory of a closed region back, beside the program.
//
// Unmapping 1 GiB of a file that was written to takes 20 ms, and freeing its pages, when no other process has the
// file, takes 45 ms more.  A program need not wait for that.  So the mapping of a large anonymous region is unmapped
// by the client's thread, piece by piece. The region's descriptor, if it had one, is closed by then: the mapping
// keeps the file alive.
//
// The daemon has been told of the close by then.  It finds the file still mapped and looks again later; a request
// that would be refused meanwhile waits in the daemon.  Without a daemon, a call that was refused waits for the
// thread and tries again (dispose_await).  So a program may rely on the space of a region that it has closed.
//
// Named regions are unmapped at once: other processes can see that such a region is attached.
#include "client/memory/dispose.h"

#include <stdint.h>
#include <stdlib.h>

#include "client/memory/mapping.h"

#define LARGE ((uint64_t)1 << 20) // bytes; handing less over to the thread costs what it saves
#define PIECE ((uint64_t)1 << 30)

struct disposal {
    struct background_task task;
    struct background *background;
    struct mapping mapping;
};

static enum background_result run(struct background_task *t)
{
    struct disposal *d = (struct disposal *)t;
    bool more;

    background_begin_whole(d->background);
    more = mapping_unmap_piece(&d->mapping, PIECE);
    if (!more)
        mapping_deinit(&d->mapping);
    background_end_whole(d->background);
    return more ? BACKGROUND_MORE : BACKGROUND_GONE;
}

static void forked(struct background_task *t)
{
    mapping_deinit(&((struct disposal *)t)->mapping);
}

static void gone(struct background_task *t)
{
    free((struct disposal *)t);
}

void dispose(struct background *background, const struct mapping *mapping)
{
    bool beside = background && mapping->granted >= LARGE && background_start(background);
    struct disposal *d = beside ? malloc(sizeof *d) : NULL;
    struct mapping m = *mapping;

    if (!d) {
        mapping_deinit(&m);
        return;
    }
    *d = (struct disposal){
        .task = {.run = run, .forked = forked, .gone = gone},
        .background = background,
        .mapping = m,
    };
    background_submit(background, &d->task);
}

uint64_t dispose_mark(struct background *background)
{
    return background ? background_count_gone(background) : 0;
}

bool dispose_await(struct background *background, uint64_t since)
{
    return background && background_await_gone(background) != since;
}
