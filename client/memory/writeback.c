// A vector larger than the memory that its process may use can go on only as fast as pages become clean, and the kernel begins late to
// make them so.  So what the vector has left behind is sent to the disk in chunks, by sync_file_range, which starts writing and
// does not wait.
//
// Only under memory pressure: without, it makes the vector's end slower, and takes the disk from others for data that may never need to be
// there.  That is, when the tightest control group over the process has an eighth of its room used up by dirty pages, or tasks are seen
// to stall for memory.  Dirty pages of a process without a limit are the kernel's own business, and it is better at it.  Once begun,
// it goes on: writing makes room again.
//
// Measured (4 GiB in a group of 512 MiB, Linux 6.18, ext4, a disk of 2.1 GB/s): pushing 1.7 times as fast as without; chunks of
// 8 to 128 MiB alike.  Sent by the pushing thread instead of the client's, a vector of 6 GiB without a limit took nearly twice as long.
#include "client/memory/writeback.h"

#include <fcntl.h>
#include <stddef.h>

#include "proto/util/container.h"

#define MIB ((uint64_t)1 << 20)

#define FIRST_LOOK (8 * MIB)
#define CHUNK (32 * MIB)
#define BACKLOG (8 * CHUNK) // what is older is on its way by itself
#define AHEAD_MAX (32 * MIB)

static bool is_time(const struct writeback *w, const struct pressure_state *state)
{
    return state->stalling || (w->pressure.group && state->room < state->most - state->most / 8);
}

// Sixteen vectors may make pages ahead before a group is full of them.
static void look(struct writeback *w)
{
    struct pressure_state state;
    uint64_t share;

    pressure_look(&w->pressure, &state);
    share = w->pressure.group ? state.most / 16 : AHEAD_MAX;
    w->ahead_max = share < AHEAD_MAX ? share : AHEAD_MAX;
    w->began = w->began || is_time(w, &state);
}

static bool write_chunk(struct writeback *w)
{
    uint64_t filled = w->filled, from = w->written;

    if (filled > from + BACKLOG)
        from = filled - BACKLOG;
    if (from + CHUNK > filled)
        return false;
    // Where a file system can't, the kernel does it in its own time.
    sync_file_range(w->fd, (off_t)from, (off_t)CHUNK, SYNC_FILE_RANGE_WRITE);
    w->written = from + CHUNK;
    return from + 2 * CHUNK <= filled;
}

static enum background_result run(struct background_task *t)
{
    struct writeback *w = container_of(t, struct writeback, task);

    if (!w->looked || w->filled >= w->written + CHUNK)
        look(w);
    w->looked = true;
    if (!w->began)
        return BACKGROUND_DONE;
    if (w->fd < 0) {
        w->wants_file = true;
        return BACKGROUND_DONE;
    }
    return write_chunk(w) ? BACKGROUND_MORE : BACKGROUND_DONE;
}

void writeback_init(struct writeback *w, struct background *background)
{
    *w = (struct writeback){.task.run = run, .background = background, .fd = -1, .ahead_max = AHEAD_MAX};
    pressure_init(&w->pressure, NULL);
}

void writeback_deinit(struct writeback *w)
{
    writeback_cut(w, 0);
    pressure_deinit(&w->pressure);
}

void writeback_note(struct writeback *w, uint64_t filled)
{
    if (filled < FIRST_LOOK || (w->noted > 0 && filled < w->noted + CHUNK))
        return;
    w->noted = filled;
    w->filled = filled;
    if (w->background && background_runs(w->background))
        background_submit(w->background, &w->task);
    else
        while (run(&w->task) == BACKGROUND_MORE)
            ;
}

bool writeback_wants_file(struct writeback *w)
{
    return w->wants_file;
}

void writeback_give_file(struct writeback *w, int fd)
{
    w->fd = fd;
    w->wants_file = false;
}

uint64_t writeback_ahead_max(struct writeback *w)
{
    return w->ahead_max;
}

void writeback_cut(struct writeback *w, uint64_t end)
{
    if (w->background)
        background_cancel(w->background, &w->task);
    if (w->filled > end)
        w->filled = end;
    if (w->written > end)
        w->written = end;
    if (w->noted > end)
        w->noted = end;
}

void writeback_forked(struct writeback *w)
{
    w->background = NULL;
}
