// Writing behind a vector, when memory is short.
//
// A vector larger than the memory that its process may use can go on only as fast as pages become clean, and the
// kernel begins late to clean them.  So the part of the vector behind its end is sent to the disk in chunks, by
// sync_file_range, which starts writing and does not wait.
//
// This is done only under memory pressure (pressure_is_high).  Otherwise it makes the vector slower, and takes the disk
// from others for data that may never need to be on disk.  The kernel handles the dirty pages of a
// process without a limit better than this file could.  Once begun, the writing goes on: it is the writing that makes
// room.
//
// Measured (4 GiB in a group of 512 MiB, Linux 6.18, ext4, a disk of 2.1 GB/s): pushing is 1.1 to 1.7 times as fast
// as without; chunks of 8 to 128 MiB make no difference.  Sent by the pushing thread instead of the client's, a
// vector of 6 GiB without a limit took nearly twice as long.
//
// By a descriptor of the daemon's passthrough fence (diskallocd(8), FENCES) sync_file_range does nothing, and the
// kernel writes in its own time.  msync in place of it gained nothing (3 GiB in a group of 384 MiB), and waits for the
// disk.
//
// Not on btrfs, which has pages of 4 KiB only: before one is written, it is taken from the program's page table, so
// that the program's processor is interrupted for each.  Measured (2 GiB in a group of 256 MiB, a virtual machine by
// PVM): pushing was 0.64 to 0.92 times as fast as by hand with this, and 1.11 to 1.20 times without.
//
// Threads: the program's threads call writeback_note, the client's thread runs the task.  Fields that both use are
// atomic.
#include "client/memory/writeback.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

#include "proto/util/container.h"

#define MIB ((uint64_t)1 << 20)

#define FIRST_LOOK (8 * MIB)
#define CHUNK (32 * MIB)
#define BACKLOG (8 * CHUNK) // the kernel is writing older pages by itself
#define AHEAD_MAX (32 * MIB)

// Pages made ahead must not fill a group: sixteen vectors may take it all.
static void look(struct writeback *w)
{
    struct pressure_state state;
    uint64_t share;

    pressure_look(&w->pressure, &state);
    share = w->pressure.group ? state.most / 16 : AHEAD_MAX;
    w->ahead_max = share < AHEAD_MAX ? share : AHEAD_MAX;
    w->began = w->began || pressure_is_high(&w->pressure, &state);
}

static bool write_chunk(struct writeback *w)
{
    uint64_t filled = w->filled, from = w->written;

    if (filled > from + BACKLOG)
        from = filled - BACKLOG;
    if (from + CHUNK > filled)
        return false;
    // If the file system can't do this, the kernel writes the pages in its own time.
    sync_file_range(w->file.fd, (off_t)from, (off_t)CHUNK, SYNC_FILE_RANGE_WRITE);
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
    if (!w->has_file || !descriptor_is_ours(&w->file)) {
        w->has_file = false;
        w->wants_file = true;
        return BACKGROUND_DONE;
    }
    if (w->is_useless)
        return BACKGROUND_DONE;
    return write_chunk(w) ? BACKGROUND_MORE : BACKGROUND_DONE;
}

void writeback_init(struct writeback *w, struct background *background)
{
    *w = (struct writeback){.task.run = run, .background = background, .ahead_max = AHEAD_MAX};
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

static bool has_small_pages_only(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (unsigned)fs.f_type == BTRFS_SUPER_MAGIC;
}

void writeback_give_file(struct writeback *w, const struct descriptor *file)
{
    if (file && !w->has_file) {
        w->file = *file;
        w->is_useless = has_small_pages_only(file->fd);
        w->has_file = true;
    }
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

void writeback_avoid(struct writeback *w, uint64_t from, uint64_t to)
{
    // Bytes before `written` are not written again: a vector that is drained goes on writing at its end.
    if (to > w->written)
        writeback_cut(w, from);
}

void writeback_forked(struct writeback *w)
{
    w->background = NULL;
}
