// The SIGBUS guard.
//
// A load or store that the kernel cannot carry out raises SIGBUS: the disk has an I/O error, the memory is broken,
// another program has made a caller's file shorter.  Where a program has enabled the guard, the page at that place is
// replaced by one of the process's own, the access is repeated, and goes through.  The new page has the bytes of the
// old one if they can still be read, zeros otherwise.  From then on the bytes in memory are not those on disk, so every
// sync and every commit of the region is -EIO.
//
// The handler runs on the thread that faulted, wherever that was: it may use only what is safe in a handler.  It finds
// the region in a table that grows and never shrinks; fork_lock() is held by whoever changes the table, and readers
// take no lock.  A region is in the table from the time it is mapped until it is closed.
//
// Several threads may fault on one page.  One at a time replaces it; the others then find that the kernel can make the
// page (MADV_POPULATE_WRITE, Linux 5.14), and leave it as it is.  So does a thread whose error has passed.
#include "client/memory/guard.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/util/error.h"
#include "client/util/fork.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"

enum { SLOTS = 126 };

struct guard_slot {
    _Atomic(struct guard *) guard; // NULL: the slot is free
    struct guard_slot *next_free;
};

struct chunk {
    struct guard_slot slots[SLOTS];
    _Atomic(struct chunk *) next;
};

// Whom the program wants to be told.  One that is replaced stays in memory: a handler may be reading it.
struct notice {
    void (*told)(struct diskalloc_region *, uint64_t, void *);
    void *data;
    struct notice *before;
};

static struct chunk first;
static struct chunk *last;          // NULL: first, and no slot was taken yet
static struct guard_slot *free_one; // the list of free slots
static unsigned n_taken;            // slots of the last chunk that were taken at least once

static _Atomic(struct notice *) notice; // NULL: the guard was never enabled
static struct sigaction before;         // what SIGBUS did before
static atomic_flag replacing = ATOMIC_FLAG_INIT;
static uint64_t page; // bytes; set before the handler is

// With fork_lock() held.  NULL: no memory.
static struct guard_slot *take_slot(void)
{
    struct guard_slot *slot = free_one;

    if (slot) {
        free_one = slot->next_free;
        return slot;
    }
    if (!last)
        last = &first;
    if (n_taken == SLOTS) {
        struct chunk *chunk = calloc(1, sizeof *chunk);

        if (!chunk)
            return NULL;
        atomic_store(&last->next, chunk);
        last = chunk;
        n_taken = 0;
    }
    return &last->slots[n_taken++];
}

int guard_begin(struct guard *guard, struct diskalloc_region *region, const struct mapping *mapping)
{
    guard->region = region;
    guard->mapping = mapping;
    fork_lock();
    guard->slot = take_slot();
    if (guard->slot)
        atomic_store(&guard->slot->guard, guard);
    fork_unlock();
    return guard->slot ? 0 : -ENOMEM;
}

void guard_end(struct guard *guard)
{
    if (!guard->slot)
        return;
    fork_lock();
    atomic_store(&guard->slot->guard, NULL);
    guard->slot->next_free = free_one;
    free_one = guard->slot;
    fork_unlock();
    guard->slot = NULL;
}

bool guard_is_enabled(void)
{
    return atomic_load(&notice) != NULL;
}

int guard_error(const struct guard *guard)
{
    uint64_t lost_at = atomic_load(&guard->lost_at);

    if (lost_at == 0)
        return 0;
    return error_why(-EIO,
                     "the page at byte %llu could not be read or written, and what memory has there is not on disk",
                     (unsigned long long)(lost_at - 1));
}

// A page that replaces another keeps what is stored in it, where the file would be cut and become zero.  A page that
// the size lies in is still accessible.
void guard_zero(struct guard *guard, uint64_t from, uint64_t to)
{
    uint64_t whole = align_up(from, page_size());

    if (atomic_load(&guard->lost_at) == 0)
        return;
    if (from < whole)
        memset(guard->mapping->base + from, 0, whole - from);
    if (whole < to)
        madvise(guard->mapping->base + whole, align_up(to, page_size()) - whole, MADV_DONTNEED);
}

// ---- In the handler ----

static struct guard *find(const char *address)
{
    for (struct chunk *chunk = &first; chunk; chunk = atomic_load(&chunk->next))
        for (int i = 0; i < SLOTS; i++) {
            struct guard *guard = atomic_load(&chunk->slots[i].guard);
            const struct mapping *m = guard ? guard->mapping : NULL;

            if (m && address >= m->base && (uint64_t)(address - m->base) < m->reserve)
                return guard;
        }
    return NULL;
}

static bool can_be_made(char *at, bool read_only)
{
    return madvise(at, page, read_only ? MADV_POPULATE_READ : MADV_POPULATE_WRITE) == 0;
}

// The bytes of the page at AT, as far as they can be read: the kernel copies them, which raises no signal.
static void copy_page(char *to, char *at)
{
    const struct iovec local = {to, page}, remote = {at, page};

    process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static bool replace_page(char *at, bool read_only)
{
    char *made = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED)
        return false;
    copy_page(made, at);
    if ((!read_only || mprotect(made, page, PROT_READ) == 0) &&
        mremap(made, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at) != MAP_FAILED)
        return true;
    munmap(made, page);
    return false;
}

// False: the page is as it was.
static bool mend(struct guard *guard, uint64_t offset)
{
    const struct mapping *m = guard->mapping;
    char *at = m->base + offset;
    uint64_t none = 0;
    bool mended, replaced = false;

    while (atomic_flag_test_and_set(&replacing))
        sched_yield();
    mended = can_be_made(at, m->read_only);
    if (!mended)
        mended = replaced = replace_page(at, m->read_only);
    if (replaced)
        atomic_compare_exchange_strong(&guard->lost_at, &none, offset + 1);
    atomic_flag_clear(&replacing);
    if (replaced) {
        struct notice *n = atomic_load(&notice);

        if (n->told)
            n->told(guard->region, offset, n->data);
    }
    return mended;
}

// Without a handler of the program's: the process ends by the signal, as it would have without the guard.  The access
// is repeated when this returns; a signal that somebody sent is not.
static void end_process(const siginfo_t *info)
{
    signal(SIGBUS, SIG_DFL);
    if (info->si_code <= 0 || info->si_code == BUS_MCEERR_AO)
        raise(SIGBUS);
}

// Whether this call comes from the handler that pass_on has called for the same signal: that one was installed later,
// and passes signals on to this one.  It was called from further up the stack, if it has not been left by a jump.
static bool is_circle(const siginfo_t *info)
{
    static __thread const siginfo_t *volatile passed __attribute__((__tls_model__("initial-exec")));
    static __thread const char *volatile from __attribute__((__tls_model__("initial-exec")));
    const char *frame = __builtin_frame_address(0);
    bool is_again = passed == info && frame < from;

    passed = info;
    from = frame;
    return is_again;
}

// What was there before does what it would have done.  The kernel sets the mask again when the handler returns.
static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    struct sigaction other = before;

    if (!(other.sa_flags & SA_SIGINFO) && other.sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    if (is_circle(info) ||
        (!(other.sa_flags & SA_SIGINFO) && (other.sa_handler == SIG_DFL || other.sa_handler == SIG_IGN))) {
        end_process(info);
        return;
    }
    if ((unsigned)other.sa_flags & SA_RESETHAND)
        before = (struct sigaction){.sa_handler = SIG_DFL};
    pthread_sigmask(SIG_BLOCK, &other.sa_mask, NULL);
    if (other.sa_flags & SA_SIGINFO)
        other.sa_sigaction(signal_number, info, context);
    else
        other.sa_handler(signal_number);
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context)
{
    int saved = errno;
    struct guard *guard = NULL;

    if (info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR)
        guard = find(info->si_addr);
    if (!guard || !mend(guard, align_down((uint64_t)((char *)info->si_addr - guard->mapping->base), page)))
        pass_on(signal_number, info, context);
    errno = saved;
}

// ---- Enabling ----

static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART}, now;

    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) < 0 || ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error))
        return;
    before = now;
    sigaction(SIGBUS, &ours, NULL);
}

int diskalloc_guard_enable(void (*told)(struct diskalloc_region *r, uint64_t offset, void *data), void *data)
{
    struct notice *n = malloc(sizeof *n);

    error_begin("diskalloc_guard_enable");
    if (!n)
        return error_end(-ENOMEM);
    fork_lock();
    page = page_size();
    *n = (struct notice){told, data, atomic_load(&notice)};
    atomic_store(&notice, n);
    install();
    fork_unlock();
    return error_end(0);
}
