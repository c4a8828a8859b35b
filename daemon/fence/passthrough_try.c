// The trial of the passthrough fence: a file is handed out and mapped as a client would, and everything that the daemon
// relies on is looked at once.  A kernel that answers otherwise must not be trusted with the memory of clients.
#include "daemon/fence/passthrough_try.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "daemon/fence/passthrough.h"
#include "proto/util/cleanup.h"
#include "proto/util/page.h"

enum { MINE = 1, ANOTHER = 2, TRIES = 100 };

static const struct handle none; // no region has it

struct trial {
    struct passthrough *p;
    int file; // the disk's
    int fd;   // as a client gets it
    uint64_t generation;
    size_t page;
    bool has_block; // otherwise a store would be the end of the daemon (SIGBUS)
    unsigned char *memory;
};

static const char *refuses(const struct trial *t)
{
    if (pwrite(t->fd, "x", 1, 0) >= 0 || ftruncate(t->fd, 0) == 0 ||
        fallocate(t->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)t->page * 2) == 0)
        return "it does not work (a file could be changed by a descriptor)";
    return NULL;
}

static const char *maps(struct trial *t)
{
    unsigned char byte = 0;

    t->memory = mmap(NULL, t->page, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (t->memory == MAP_FAILED) {
        t->memory = NULL;
        return "it does not work (a descriptor cannot be mapped)";
    }
    if (!t->has_block)
        return NULL;
    t->memory[0] = 42;
    if (pread(t->file, &byte, 1, 0) != 1 || byte != 42)
        return "it does not work (what is stored does not reach the disk's file)";
    return NULL;
}

// The server learns of the end of a mapping a moment later.
static bool becomes_unmapped(const struct trial *t)
{
    static const struct timespec pause = {.tv_nsec = 10L * 1000 * 1000};

    for (int i = 0; i < TRIES; i++) {
        if (passthrough_is_alone(t->p, t->generation, &none, ANOTHER) == 1)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static const char *tells(struct trial *t)
{
    const char *wrong = "it does not work (the kernel does not tell who maps a file)";

    close(t->fd);
    t->fd = -1;
    if (passthrough_is_alone(t->p, t->generation, &none, MINE) != 1 ||
        passthrough_is_alone(t->p, t->generation, &none, ANOTHER) != 0)
        return wrong;
    munmap(t->memory, t->page);
    t->memory = NULL;
    return becomes_unmapped(t) ? NULL : wrong;
}

// -errno: the file could not be handed out.
static int try(struct trial *t, int dir_fd, const char **ret_why)
{
    const struct passthrough_order order = {
        .user = geteuid(), .owner = geteuid(), .handle = &none, .identity = MINE, .is_mark = true};

    t->file = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (t->file < 0 || ftruncate(t->file, (off_t)t->page) < 0) {
        *ret_why = "no file can be made to try it on";
        // A daemon must be able to start on a full disk, which proves nothing.
        return errno == ENOSPC || errno == EDQUOT ? 0 : -errno;
    }
    t->has_block = fallocate(t->file, 0, 0, (off_t)t->page) == 0;
    t->fd = passthrough_open(t->p, t->file, &order, &t->generation);
    if (t->fd < 0) {
        *ret_why = passthrough_explain(t->fd);
        return t->fd;
    }
    *ret_why = refuses(t);
    if (!*ret_why)
        *ret_why = maps(t);
    if (!*ret_why)
        *ret_why = tells(t);
    return *ret_why ? -EOPNOTSUPP : 0;
}

int passthrough_try(struct passthrough *p, int dir_fd, const char **ret_why)
{
    struct trial t = {.p = p, .file = -1, .fd = -1, .page = page_size()};
    int r = try(&t, dir_fd, ret_why);

    if (t.memory)
        munmap(t.memory, t.page);
    cleanup_close(&t.fd);
    cleanup_close(&t.file);
    return r;
}
