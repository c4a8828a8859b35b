// The files of a user's directory, read ahead: see listing.h.
//
// With cold caches a start with very many regions waits for the disk: each file costs a read of its inode and one of
// its record.  readdir(3) gives the names in the order of their hashes, which is none on the disk.  So the names are
// sorted by inode, and where there are many, threads open the files and read the records some way ahead of the scan,
// so that the disk has several reads at a time.
//
// The slot of file I is I % WINDOW.  A thread fills it before it sets `ready`; the scan takes the files in order and
// gives slots back a batch at a time.
#include "daemon/store/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/store_internal.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/thread.h"

enum {
    WINDOW = 256,
    BATCH = 16, // files that a thread takes at a time
    THREADS = 8,
    FEW = 256, // files that are read without threads
    STACK_SIZE = 128 * 1024,
};

struct entry {
    ino_t inode;
    size_t name; // where it begins in struct listing.names
};

struct slot {
    struct listed_file file;
    bool ready;
};

struct listing {
    struct store *store;
    uid_t uid;
    struct entry *entries;
    size_t n, size;
    char *names;
    size_t names_length, names_size;

    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    size_t n_begun;    // so many files have got a slot, which a thread fills or has filled
    size_t n_released; // so many slots are free again
    bool ends;
    // The scan's own:
    size_t n_ready; // so many files are known to be there
    size_t n_taken;
    pthread_t threads[THREADS];
    unsigned n_threads;
    struct slot slots[WINDOW];
};

// Makes room for N more of SIZE bytes each behind the *USED of *ITEMS.
static int make_room(void **items, size_t *size, size_t used, size_t n, size_t item_size)
{
    size_t larger = *size ? *size : 4096;
    void *moved;

    while (larger < used + n)
        larger *= 2;
    if (larger == *size)
        return 0;
    moved = realloc(*items, larger * item_size);
    if (!moved)
        return -ENOMEM;
    *items = moved;
    *size = larger;
    return 0;
}

static int add(struct listing *l, const struct dirent *d)
{
    size_t length = strlen(d->d_name) + 1;

    if (make_room((void **)&l->entries, &l->size, l->n, 1, sizeof *l->entries) < 0 ||
        make_room((void **)&l->names, &l->names_size, l->names_length, length, 1) < 0)
        return -ENOMEM;
    l->entries[l->n++] = (struct entry){.inode = d->d_ino, .name = l->names_length};
    memcpy(l->names + l->names_length, d->d_name, length);
    l->names_length += length;
    return 0;
}

static int by_inode(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return (x->inode > y->inode) - (x->inode < y->inode);
}

static int read_names(struct listing *l, DIR *dir)
{
    struct dirent *d;
    int r = 0;

    while (r == 0 && (errno = 0, d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            r = add(l, d);
    if (r == 0 && errno)
        r = -errno;
    if (r == 0 && l->n > 0)
        qsort(l->entries, l->n, sizeof *l->entries, by_inode);
    return r;
}

static void fill(const struct listing *l, size_t i, struct listed_file *file)
{
    const struct file_ops *ops = l->store->ops;

    file->name = l->names + l->entries[i].name;
    file->fd = -1;
    file->is_region_name = handle_parse(file->name, &file->handle) == 0;
    if (!file->is_region_name)
        return;
    file->fd = store_open_file(l->store, l->uid, &file->handle, O_RDONLY);
    if (file->fd < 0)
        return;
    file->stat_result = ops->stat(file->fd, &file->st);
    if (file->stat_result == 0 && S_ISREG(file->st.st_mode))
        file->record_result = record_load(ops, file->fd, &file->record);
}

static size_t end_of_batch(const struct listing *l, size_t from)
{
    return l->n - from > BATCH ? from + BATCH : l->n;
}

static void *read_ahead(void *data)
{
    struct listing *l = data;

    pthread_mutex_lock(&l->lock);
    while (!l->ends && l->n_begun < l->n) {
        size_t from = l->n_begun, to = end_of_batch(l, from);

        if (to - l->n_released > WINDOW) {
            pthread_cond_wait(&l->freed, &l->lock);
            continue;
        }
        l->n_begun = to;
        pthread_mutex_unlock(&l->lock);
        for (size_t i = from; i < to; i++)
            fill(l, i, &l->slots[i % WINDOW].file);
        pthread_mutex_lock(&l->lock);
        for (size_t i = from; i < to; i++)
            l->slots[i % WINDOW].ready = true;
        pthread_cond_signal(&l->filled);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int listing_open(struct store *s, int dir_fd, uid_t uid, struct listing **ret)
{
    _cleanup_closedir_ DIR *dir = fdopendir(dir_fd);
    struct listing *l = calloc(1, sizeof *l);
    int r = dir && l ? 0 : -ENOMEM;

    if (!dir)
        close(dir_fd);
    if (!l)
        return r;
    l->store = s;
    l->uid = uid;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->freed, NULL);
    if (r == 0)
        r = read_names(l, dir);
    // Without threads the scan reads the files itself.
    while (r == 0 && l->n > FEW && l->n_threads < THREADS &&
           thread_start(&l->threads[l->n_threads], STACK_SIZE, read_ahead, l) == 0)
        l->n_threads++;
    if (r < 0)
        listing_close(l);
    else
        *ret = l;
    return r;
}

static void close_file(struct listed_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

// The scan has ended with the files before n_taken.
static void release(struct listing *l)
{
    for (; l->n_released < l->n_taken; l->n_released++)
        l->slots[l->n_released % WINDOW].ready = false;
    pthread_cond_broadcast(&l->freed);
}

// Waits until the file at n_taken is there.
static void await(struct listing *l)
{
    struct slot *slot = &l->slots[l->n_taken % WINDOW];

    pthread_mutex_lock(&l->lock);
    release(l);
    while (!slot->ready)
        pthread_cond_wait(&l->filled, &l->lock);
    // The thread has filled the rest of the batch as well.
    l->n_ready = end_of_batch(l, l->n_taken);
    pthread_mutex_unlock(&l->lock);
}

struct listed_file *listing_next(struct listing *l)
{
    struct listed_file *file;

    if (l->n_taken > 0)
        close_file(&l->slots[(l->n_taken - 1) % WINDOW].file);
    if (l->n_taken == l->n)
        return NULL;
    file = &l->slots[l->n_taken % WINDOW].file;
    if (l->n_threads == 0)
        fill(l, l->n_taken, file);
    else if (l->n_taken == l->n_ready)
        await(l);
    l->n_taken++;
    return file;
}

void listing_close(struct listing *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->ends = true;
    pthread_cond_broadcast(&l->freed);
    pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < l->n_threads; i++)
        pthread_join(l->threads[i], NULL);
    for (size_t i = l->n_taken > 0 ? l->n_taken - 1 : 0; i < u64_max(l->n_begun, l->n_taken); i++)
        close_file(&l->slots[i % WINDOW].file);
    pthread_cond_destroy(&l->freed);
    pthread_cond_destroy(&l->filled);
    pthread_mutex_destroy(&l->lock);
    free(l->entries);
    free(l->names);
    free(l);
}
