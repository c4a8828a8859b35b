// A spill directory that is taken out of the configuration may hold regions, which nobody misses until a program does.
//
// So each disk has a file with the paths of all spill directories that the daemon has had, a line each.  At start the
// daemon reads it, and looks into the directories that the configuration does not name: regions that it finds there are
// told of, in the log and in the status, and left as they are.  A directory without regions is forgotten.  Nothing is
// written as long as there has been one directory only.
#include "daemon/former.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/disks.h"
#include "daemon/log.h"
#include "daemon/state.h"
#include "daemon/store/small_file.h"
#include "daemon/work/worker.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"
#include "proto/util/name.h"
#include "proto/util/text.h"

#define FILE_NAME ".disks"

enum { MOST = 256 }; // paths

// A directory that the configuration does not name.
struct former {
    char *dir;
    uint64_t n_regions;
    int error; // -errno: it, or a part of it, could not be looked at
};

// The struct belongs to the worker from former_look until look_done.
struct former_look {
    struct work work;
    struct daemon *daemon;
    int *dir_fds;                      // of the disks, which stay open: N_DISKS of them
    bool is_unread[CONFIG_MOST_DISKS]; // of the disks: their lists are there, and cannot be read
    char **dirs;                       // of the disks, and then others that the configuration names: N_NAMED in all
    size_t n_disks, n_named;
    struct former former[MOST];
    size_t n_former;
};

static bool is_named(const struct former_look *l, const char *dir)
{
    for (size_t i = 0; i < l->n_named; i++)
        if (strcmp(l->dirs[i], dir) == 0)
            return true;
    return false;
}

static void note(struct former_look *l, const char *dir)
{
    if (dir[0] != '/' || is_named(l, dir) || l->n_former == MOST)
        return;
    for (size_t i = 0; i < l->n_former; i++)
        if (strcmp(l->former[i].dir, dir) == 0)
            return;
    l->former[l->n_former].dir = strdup(dir);
    l->n_former += l->former[l->n_former].dir != NULL;
}

// A list that cannot be read may name directories that nobody else knows: no list is written over it.
static void read_list(struct former_look *l, size_t disk)
{
    _cleanup_free_ char *text = NULL;
    int r = small_file_read(l->dir_fds[disk], FILE_NAME, &text);

    if (r < 0 && r != -ENOENT) {
        log_warning("%s/%s cannot be read: %s: a spill directory that was taken out of the configuration may not be "
                    "told of; check the disk (dmesg), or remove the file: the daemon writes it anew when it starts",
                    l->dirs[disk], FILE_NAME, strerror(-r));
        l->is_unread[disk] = true;
    }
    if (r < 0)
        return;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        note(l, line);
    }
}

// Counts the regions of a user.  0; -errno: there may be more.
static int count_files(struct former *f, int dir_fd, const char *name)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct handle handle;

    if (!dir) // what is no directory, or is gone, holds no regions
        return errno == ENOTDIR || errno == ELOOP || errno == ENOENT ? 0 : -errno;
    steal_fd(&fd);
    while ((errno = 0, entry = readdir(dir)))
        f->n_regions += handle_parse(entry->d_name, &handle) == 0;
    return -errno;
}

static int count(struct former *f)
{
    _cleanup_closedir_ DIR *dir = opendir(f->dir);
    struct dirent *entry;
    uint64_t uid;
    int r = 0;

    if (!dir)
        return -errno;
    while (r == 0 && (errno = 0, entry = readdir(dir)))
        if (number_parse(entry->d_name, 10, UINT32_MAX - 1, &uid))
            r = count_files(f, dirfd(dir), entry->d_name);
    return r < 0 ? r : -errno;
}

static bool is_kept(const struct former *f)
{
    return f->n_regions > 0 || f->error;
}

// NULL: no memory.
static char *render(const struct former_look *l)
{
    char *text = NULL;
    size_t n;
    FILE *stream = open_memstream(&text, &n);

    if (!stream)
        return NULL;
    for (size_t i = 0; i < l->n_named; i++)
        fprintf(stream, "%s\n", l->dirs[i]);
    for (size_t i = 0; i < l->n_former; i++)
        if (is_kept(&l->former[i]))
            fprintf(stream, "%s\n", l->former[i].dir);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}

// Best effort: without the file, a directory that is taken out is not told of.
static void write_list(const struct former_look *l, const char *text)
{
    for (size_t i = 0; i < l->n_disks; i++) {
        _cleanup_free_ char *old = NULL;
        int r;

        if (l->is_unread[i])
            continue;
        r = small_file_read(l->dir_fds[i], FILE_NAME, &old);
        if ((r < 0 && r != -ENOENT) || (r == 0 && strcmp(old, text) == 0))
            continue;
        if ((r == 0 || l->n_named > 1 || l->n_former > 0) && small_file_write(l->dir_fds[i], FILE_NAME, text) < 0)
            log_warning("%s/%s cannot be written: a spill directory that is taken out of the configuration may not be "
                        "told of",
                        l->dirs[i], FILE_NAME);
    }
}

static enum work_status run_look(struct work *w)
{
    struct former_look *l = container_of(w, struct former_look, work);
    _cleanup_free_ char *text = NULL;

    for (size_t i = 0; i < l->n_disks; i++)
        read_list(l, i);
    for (size_t i = 0; i < l->n_former; i++)
        l->former[i].error = count(&l->former[i]);
    text = render(l);
    if (text)
        write_list(l, text);
    return WORK_DONE;
}

void former_forget(struct daemon *d)
{
    struct former_look *l = d->former;

    d->former = NULL;
    if (!l)
        return;
    for (size_t i = 0; i < l->n_named; i++)
        free(l->dirs[i]);
    for (size_t i = 0; i < l->n_former; i++)
        free(l->former[i].dir);
    free(l->dirs);
    free(l->dir_fds);
    free(l);
}

static void tell(struct daemon *d, const struct former *f)
{
    _cleanup_free_ char *problem = NULL;
    int n;

    if (f->error)
        n = asprintf(&problem,
                     "it is not in the configuration any more, and cannot be looked at: %s; if it holds "
                     "regions, they are unavailable",
                     strerror(-f->error));
    else
        n = asprintf(&problem,
                     "it is not in the configuration any more, and holds %" PRIu64 " regions, which are "
                     "unavailable; nothing there is removed",
                     f->n_regions);
    if (n < 0) {
        problem = NULL;
        return;
    }
    log_warning("spill directory %s: %s", f->dir, problem);
    disks_note_absence(d, f->dir, problem, false);
}

static void look_done(struct work *w)
{
    struct former_look *l = container_of(w, struct former_look, work);

    for (size_t i = 0; i < l->n_former; i++)
        // The configuration may have been read again meanwhile.
        if (is_kept(&l->former[i]) && !disks_have(l->daemon, l->former[i].dir) &&
            !config_paths_have(&l->daemon->request.config->spill_dirs, l->former[i].dir))
            tell(l->daemon, &l->former[i]);
    former_forget(l->daemon);
}

static bool fill(struct former_look *l, const struct daemon *d)
{
    size_t n = 0;

    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next)
        n++;
    l->dir_fds = calloc(n, sizeof *l->dir_fds);
    l->dirs = calloc(n + CONFIG_MOST_DISKS, sizeof *l->dirs);
    if (!l->dir_fds || !l->dirs)
        return false;
    for (const struct disk *disk = d->request.op.disks; disk; disk = disk->next) {
        l->dir_fds[l->n_disks++] = store_dir_fd(disk->store);
        l->dirs[l->n_named] = strdup(store_dir(disk->store));
        if (!l->dirs[l->n_named++])
            return false;
    }
    for (const struct disk_absence *a = d->request.absences; a && l->n_named < n + CONFIG_MOST_DISKS; a = a->next)
        if (a->is_configured) {
            l->dirs[l->n_named] = strdup(a->dir);
            if (!l->dirs[l->n_named++])
                return false;
        }
    return true;
}

void former_look(struct daemon *d)
{
    struct former_look *l;

    if (d->former)
        return;
    l = d->former = calloc(1, sizeof *l);
    if (!l)
        return;
    l->daemon = d;
    if (!fill(l, d)) {
        former_forget(d);
        return;
    }
    l->work = (struct work){.lane = WORK_LANE_DAEMON, .run = run_look, .done = look_done};
    worker_submit(d->pool, &l->work);
}
