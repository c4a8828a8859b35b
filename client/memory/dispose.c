// Unmapping 1 GiB of a file that was written to takes 20 ms, and freeing its pages, when nobody has it any more, 45 more: nothing that a
// program has to wait for.  So the mapping of a large anonymous region is given back by the client's thread, piece by piece.  Its
// descriptor, if it had one, is closed by then: what keeps the file is the mapping.
//
// Its daemon has been told by then.  It finds the file still mapped and looks again, and whoever it would refuse meanwhile waits.
// Without one, who is refused here waits, and tries again (dispose_await): that a region was closed before is to be relied on.
//
// Named regions are closed at once, for it can be seen by others that one is attached.
#include "client/memory/dispose.h"

#include <stdint.h>
#include <stdlib.h>

#include "client/memory/mapping.h"

#define LARGE ((uint64_t)1 << 20) // worth a thread; below, handing over costs what it saves
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
