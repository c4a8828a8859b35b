// The processes that may map a region.
//
// A part of a region is taken away only while a single process maps it, and that process asks: any other would die of
// SIGBUS.  A connection says which process that is, but only as long as it lasts.  It may end while its process lives
// and maps the region: an administrator disconnects the user, the program closes a socket that it does not know, the
// daemon starts anew.  So an end without DetachRegion is not a detach: the process is *lost*, and counts as a holder
// until
//   - it attaches the region again and says that it held it (AttachRegion.held), or detaches it,
//   - it has ended, which its pid and the time of its start tell: pids are used again,
//   - or nobody has the region attached, and the kernel says that nobody uses the file (op_open asks for a lease).
//
// After a start of the daemon all that is known is the record, which says how many holders the region had when the
// last one came.  So many processes may map it: they are *awaited*.  Each that comes back and says that it held the
// region is one less.  If one has ended meanwhile, only the kernel knows that: its mark is gone from the file
// (store/mark.c).  So an operation that takes a part of the region away, and that nothing but awaited processes stand
// in the way of, looks for marks (op_check_alone).
//
// A process comes back on a new connection before the daemon has seen the end of the old one, at times.  Then the old
// attachment is *replaced*, and its end loses nobody.
//
// A sole writer (REGION_SOLE_WRITER) keeps other writers out.  Its attachment says so as long as its connection
// lasts.  The record says that there was one, and op_open then asks the kernel whether any process still maps the
// file for writing: so the rule also holds for a process that is lost or awaited, and for its forked children.
//
// A child that was forked maps what its parent maps, and is not known here before it attaches the region itself.  As
// long as its parent has the region, the parent counts, and the parent's library takes no part away
// (client/util/children).  Whoever detaches the region or ends may leave such children behind: the region is *left*.
// A process that is lost, or whose attachment was replaced, has not left it yet.
// The marks tell of them, because a child has its parent's.  So the marks are looked for before the next part is taken
// away, and then no more before another process leaves: a region that only one process ever had costs nothing.  Not
// protected from other processes are the children of a process that has left, if that region is one without marks, or
// if the process that asks can't be told from others.
#include "daemon/holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/proc.h"
#include "proto/util/cleanup.h"

enum {
    MOST_LOST = 8,   // processes of a region that are known by name; if there are more, `unknown` stands for them
    MOST_TASKS = 64, // of a process, that are asked
};

static bool is_same(const struct holder *a, const struct holder *b)
{
    return a->uid == b->uid && a->pid == b->pid && a->pid_is_ours == b->pid_is_ours && a->started_at == b->started_at;
}

static int compare_peers(const struct attachment *a, const struct attachment *b)
{
    return ((uintptr_t)a->peer > (uintptr_t)b->peer) - ((uintptr_t)a->peer < (uintptr_t)b->peer);
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_holders(const struct attachment *a, const struct attachment *b)
{
    const struct holder *x = &a->holder, *y = &b->holder;

    if (x->uid != y->uid)
        return compare_numbers(x->uid, y->uid);
    if (x->pid != y->pid)
        return x->pid > y->pid ? 1 : -1;
    if (x->pid_is_ours != y->pid_is_ours)
        return x->pid_is_ours ? 1 : -1;
    if (x->started_at != y->started_at)
        return compare_numbers(x->started_at, y->started_at);
    return compare_numbers(a->number, b->number);
}

TREE_GENERATE(attachments_by_peer, attachment, by_peer, compare_peers)
TREE_GENERATE(attachments_by_holder, attachment, by_holder, compare_holders)

void holders_init(struct holders *h)
{
    *h = (struct holders){0};
    TAILQ_INIT(&h->attachments);
    RB_INIT(&h->by_peer);
    RB_INIT(&h->by_holder);
}

void holders_deinit(struct holders *h)
{
    free(h->lost);
    h->lost = NULL;
    h->n_lost = 0;
}

struct attachment *holders_find(const struct holders *h, const struct peer *peer)
{
    struct attachment wanted = {.peer = (struct peer *)peer}; // the tree compares peers only

    return RB_FIND(attachments_by_peer, (struct attachments_by_peer *)&h->by_peer, &wanted);
}

// The oldest attachment of HOLDER, or NULL.  next_of_holder has the others.
static struct attachment *first_of_holder(const struct holders *h, const struct holder *holder)
{
    struct attachment wanted = {.holder = *holder}, *a;

    a = RB_NFIND(attachments_by_holder, (struct attachments_by_holder *)&h->by_holder, &wanted);
    return a && is_same(&a->holder, holder) ? a : NULL;
}

static struct attachment *next_of_holder(struct attachment *a)
{
    struct attachment *next = RB_NEXT(attachments_by_holder, NULL, a);

    return next && is_same(&next->holder, &a->holder) ? next : NULL;
}

struct attachment *holders_next_of(const struct holders *h, const struct holder *holder, struct attachment *after)
{
    return after ? next_of_holder(after) : first_of_holder(h, holder);
}

// Whether A keeps a further writer out.  SOLE: that writer wants to be the only one.
static bool keeps_out(const struct attachment *a, bool sole)
{
    return !a->replaced && !a->read_only && (sole || a->sole_writer);
}

// Before A changes or goes, and after A has come or changed: keeps the numbers of writers.
static void count(struct holders *h, const struct attachment *a, bool comes)
{
    h->n_writers += keeps_out(a, true) ? (comes ? 1 : -1U) : 0;
    h->n_sole_writers += keeps_out(a, false) ? (comes ? 1 : -1U) : 0;
}

void holders_change(struct holders *h, struct attachment *a, bool read_only, bool sole_writer)
{
    count(h, a, false);
    a->read_only = read_only;
    a->sole_writer = sole_writer;
    count(h, a, true);
}

int holders_attach(struct holders *h, struct region *r, struct peer *peer, const struct holder *holder, bool read_only,
                   struct attachment_list *of_peer)
{
    struct attachment *a = holders_find(h, peer);

    if (a) {
        holders_change(h, a, a->read_only && read_only, a->sole_writer);
        return 0;
    }
    a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    *a = (struct attachment){
        .region = r, .peer = peer, .holder = *holder, .read_only = read_only, .number = ++h->last_number};
    TAILQ_INSERT_TAIL(&h->attachments, a, of_region);
    TAILQ_INSERT_TAIL(of_peer, a, of_peer);
    RB_INSERT(attachments_by_peer, &h->by_peer, a);
    RB_INSERT(attachments_by_holder, &h->by_holder, a);
    h->n_attached++;
    count(h, a, true);
    return 0;
}

void holders_note_stranger(struct holders *h, uint32_t lane)
{
    h->has_strangers = h->has_strangers || (h->has_stranger && h->stranger != lane);
    h->has_stranger = true;
    h->stranger = lane;
}

void holders_detach(struct holders *h, struct attachment *a, struct attachment_list *of_peer)
{
    count(h, a, false);
    holders_set_hearing(h, a, false);
    holders_set_watching(h, a, false);
    holders_set_agreed(h, a, false);
    TAILQ_REMOVE(&h->attachments, a, of_region);
    TAILQ_REMOVE(of_peer, a, of_peer);
    RB_REMOVE(attachments_by_peer, &h->by_peer, a);
    RB_REMOVE(attachments_by_holder, &h->by_holder, a);
    h->n_attached--;
    h->left = h->left || !a->stays;
    free(a);
}

bool holders_keep_out(const struct holders *h, const struct peer *peer, const struct holder *returning, bool sole)
{
    unsigned n = sole ? h->n_writers : h->n_sole_writers;
    struct attachment *a = holders_find(h, peer);

    n -= a && keeps_out(a, sole);
    // Those of the process that returns are its own, but for PEER's, which is counted already.
    for (a = returning && n > 0 ? first_of_holder(h, returning) : NULL; a; a = next_of_holder(a))
        n -= a->peer != peer && keeps_out(a, sole);
    return n > 0;
}

// Whether a task, /proc/PID/task/NAME, has given up its memory.
static bool task_has_none(int tasks_fd, const char *name)
{
    _cleanup_close_ int fd = -1;
    char path[64], text[2] = "";

    snprintf(path, sizeof path, "%.32s/statm", name);
    fd = openat(tasks_fd, path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, text, sizeof text) == sizeof text && text[0] == '0' && text[1] == ' ';
}

// Whether a process that ends has given up its memory: that comes before its sockets are closed, and well before its
// pid shows that it has ended.  A first thread may have ended long before the others, so all are asked.  Where /proc
// hides other users' processes, nothing is known.  Nothing is known either of a process with very many threads that
// have ended and are kept by a tracer: asking them all would take the loop long.
static bool has_no_memory(pid_t pid)
{
    _cleanup_closedir_ DIR *tasks = NULL;
    const struct dirent *entry;
    char path[64];
    unsigned n = 0;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    while (tasks && (errno = 0, entry = readdir(tasks))) {
        if (entry->d_name[0] == '.')
            continue;
        if (++n > MOST_TASKS || !task_has_none(dirfd(tasks), entry->d_name))
            return false;
    }
    return n > 0 && errno == 0;
}

uint64_t holder_identity(const struct holder *holder)
{
    enum { PID_BITS = 22, START_BITS = 36 }; // the most that Linux gives; ticks of 22 years

    if (!holder->pid_is_ours || !holder->started_at || holder->pid >> PID_BITS || holder->started_at >> START_BITS)
        return 0;
    return holder->started_at << PID_BITS | (uint64_t)holder->pid;
}

// Whether the pid belongs to a later process by now.
static bool is_another_process(const struct holder *holder)
{
    uint64_t started_at = holder->started_at ? proc_start_time(holder->pid) : 0;

    return started_at && started_at != holder->started_at;
}

bool holder_is_alive(const struct holder *holder)
{
    struct pollfd p = {.events = POLLIN};
    bool ended;

    if (!holder->pid_is_ours)
        return true;
    p.fd = (int)syscall(SYS_pidfd_open, holder->pid, 0);
    if (p.fd < 0)
        return errno != ESRCH && errno != ENOENT && errno != EINVAL; // the number may be a thread's by now
    ended = poll(&p, 1, 0) > 0;
    close(p.fd);
    return !ended && !is_another_process(holder) && !has_no_memory(holder->pid);
}

static void remove_lost(struct holders *h, unsigned i)
{
    h->lost[i] = h->lost[--h->n_lost];
}

static void remove_dead(struct holders *h)
{
    for (unsigned i = h->n_lost; i-- > 0;)
        if (!holder_is_alive(&h->lost[i].holder)) {
            remove_lost(h, i);
            h->left = true;
        }
}

static struct lost_holder *find_lost(const struct holders *h, const struct holder *holder)
{
    for (unsigned i = 0; i < h->n_lost; i++)
        if (is_same(&h->lost[i].holder, holder))
            return &h->lost[i];
    return NULL;
}

bool holders_have_lost(const struct holders *h, const struct holder *holder)
{
    return find_lost(h, holder);
}

void holders_lose(struct holders *h, struct attachment *a)
{
    struct lost_holder *l, *more;

    a->stays = true;
    // More processes than are kept by name: only the kernel knows when they have gone.
    if (a->replaced || h->unknown)
        return;
    l = find_lost(h, &a->holder);
    if (l) {
        l->n++;
        return;
    }
    more = h->n_lost < MOST_LOST ? realloc(h->lost, (h->n_lost + 1) * sizeof *more) : NULL;
    if (!more) {
        h->unknown = true;
        return;
    }
    h->lost = more;
    h->lost[h->n_lost++] = (struct lost_holder){.holder = a->holder, .n = 1};
}

bool holders_take_back(struct holders *h, const struct holder *holder)
{
    struct lost_holder *l = find_lost(h, holder);

    if (l && --l->n == 0)
        remove_lost(h, (unsigned)(l - h->lost));
    return l;
}

void holders_leave(struct holders *h, const struct holder *holder)
{
    h->left = holders_take_back(h, holder) || h->left;
}

// HOLDER may have come back before the daemon has seen the end of the connection before.  Where one process has
// several clients, the oldest connection is the likeliest to have ended.
static bool replace(struct holders *h, const struct holder *holder, const struct peer *peer)
{
    struct attachment *a = first_of_holder(h, holder);

    while (a && (a->peer == peer || a->replaced))
        a = next_of_holder(a);
    if (!a)
        return false;
    count(h, a, false);
    a->replaced = true;
    return true;
}

// An attachment of the same process comes before what is awaited: a process that comes back twice must not take the
// place of another one, which maps the region still.
void holders_return(struct holders *h, const struct holder *holder, enum holder_claim claim, uid_t owner,
                    const struct peer *peer)
{
    if (holders_take_back(h, holder) || replace(h, holder, peer))
        return;
    // A request that is repeated says nothing about who mapped the region before the daemon's start.
    if (claim == HOLDER_MAPS && h->awaited > 0 && holder->uid == owner)
        h->awaited--;
}

void holders_forget(struct holders *h)
{
    holders_deinit(h);
    h->awaited = 0;
    h->unknown = h->left = h->has_stranger = h->has_strangers = false;
}

bool holders_are_lost(struct holders *h)
{
    remove_dead(h);
    return h->n_lost > 0 || h->awaited > 0 || h->unknown;
}

bool holders_are_uncertain(const struct holders *h)
{
    return h->awaited > 0 || h->unknown;
}

unsigned holders_count(struct holders *h, const struct holder *holder, enum holder_claim claim, uid_t owner)
{
    bool is_lost, is_awaited, has_own;
    unsigned n;

    remove_dead(h);
    is_lost = claim != HOLDER_IS_NEW && find_lost(h, holder);
    is_awaited = claim == HOLDER_MAPS && !is_lost && h->awaited > 0 && holder->uid == owner;
    n = h->n_attached + h->awaited + h->unknown;
    for (unsigned i = 0; i < h->n_lost; i++)
        n += h->lost[i].n;
    has_own = claim != HOLDER_IS_NEW && !is_lost && !is_awaited && first_of_holder(h, holder);
    return n - is_lost - is_awaited - has_own;
}
