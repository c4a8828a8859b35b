// Whether a heap is open, here or in another process.
//
// This is told by a write lock on one byte of the region's file, which the kernel drops with the process.  Whoever may
// only read the file can take a read lock there, and keep it for ever.  That must not keep the owner out, so then the
// heap is locked by a read lock too (write locks of others are still kept out), and a word in the heap's header says
// which process has it: only those who may write to the region can store there.  The word names the process by its
// number and its start, so the word of a process that was killed counts for nothing.  The word is looked at only while
// a reader holds such a lock.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/heap/heap.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"

// The byte lies behind any content, and before the bytes whose locks say who maps the file (daemon/store/mark.c): a
// lock there would be another process's to the daemon, which then would not let this one cut the region.
#define IN_USE_AT (((int64_t)1 << 62) - 1)

// The parts of the word.
enum {
    PID_BITS = 22, // the kernel's limit
    START_BITS = 16,
    BOOT_BITS = 10,
    NAMESPACE_BITS = 16,
};

static uint64_t low(uint64_t value, unsigned bits)
{
    return value & (((uint64_t)1 << bits) - 1);
}

static size_t read_text(const char *path, char *text, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    text[n < 0 ? 0 : n] = '\0';
    return n < 0 ? 0 : (size_t)n;
}

// The bits of a process's start time.  False: it has ended, or can't be looked at (*RET_ENDED tells).
static bool read_start(pid_t pid, uint64_t *ret, bool *ret_ended)
{
    char path[48], text[1024], state = 0;
    unsigned long long ticks = 0;
    const char *end;

    *ret_ended = false;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    read_text(path, text, sizeof text);
    // A process may call itself anything, so the fields are counted from the last parenthesis.
    end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                       &state, &ticks) != 2)
        return false;
    *ret_ended = state == 'Z' || state == 'X';
    *ret = low(ticks, START_BITS);
    return !*ret_ended;
}

static uint64_t this_boot(void)
{
    char text[64];
    uint64_t mixed = 0;

    read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
    for (const char *c = text; *c; c++)
        mixed = home_mix(mixed ^ (unsigned char)*c);
    return low(mixed, BOOT_BITS);
}

// Numbers of processes are good within one namespace.
static uint64_t this_namespace(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) == 0 ? low(home_mix(st.st_ino), NAMESPACE_BITS) : 0;
}

static uint64_t this_process(void)
{
    uint64_t start = 0;
    bool ended;

    read_start(getpid(), &start, &ended);
    return low((uint64_t)getpid(), PID_BITS) | start << PID_BITS | this_boot() << (PID_BITS + START_BITS) |
           this_namespace() << (PID_BITS + START_BITS + BOOT_BITS);
}

// Whether the process of a word may be there still.  One of another namespace can't be looked for.
static bool is_there(uint64_t word)
{
    pid_t pid = (pid_t)low(word, PID_BITS);
    uint64_t start = 0;
    bool ended;

    if (pid == 0 || low(word >> (PID_BITS + START_BITS), BOOT_BITS) != this_boot())
        return false;
    if (word >> (PID_BITS + START_BITS + BOOT_BITS) != this_namespace())
        return true;
    if (kill(pid, 0) < 0 && errno == ESRCH)
        return false;
    return read_start(pid, &start, &ended) ? start == low(word >> PID_BITS, START_BITS) : !ended;
}

static int set_lock(struct diskalloc_region *r, short type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = IN_USE_AT, .l_len = 1};
    int fd, e;

    pthread_mutex_lock(&r->lock);
    fd = region_keep_file(r);
    pthread_mutex_unlock(&r->lock);
    if (fd < 0)
        return fd;
    do
        e = fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
    while (e == -EINTR);
    return e == -EACCES ? -EAGAIN : e;
}

static int open_already(void)
{
    return error_why(-EBUSY, "the heap is open already, in this process or another one");
}

int in_use_lock(struct diskalloc_heap *h)
{
    int e = set_lock(h->region, F_WRLCK);

    h->beside_reader = e == -EAGAIN;
    if (h->beside_reader)
        e = set_lock(h->region, F_RDLCK);
    return e == -EAGAIN ? open_already() : e;
}

int in_use_claim(struct diskalloc_heap *h)
{
    uint64_t mine, found = atomic_load(&h->header->in_use);

    if (!h->beside_reader)
        return 0;
    mine = this_process();
    do
        if (is_there(found))
            return open_already();
    while (!atomic_compare_exchange_strong(&h->header->in_use, &found, mine));
    h->claimed = mine;
    return 0;
}

void in_use_end(struct diskalloc_heap *h)
{
    uint64_t mine = h->claimed;

    if (mine)
        atomic_compare_exchange_strong(&h->header->in_use, &mine, 0);
    h->claimed = 0;
    set_lock(h->region, F_UNLCK);
}
