// See maps.h.  All of it holds the lock of the blocks while it changes mappings, so that a fork finds what is mapped.
#include "client/preload/maps.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "client/preload/addresses.h"
#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/kernel.h"
#include "client/preload/own.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"

// MAP_NORESERVE announces more memory than the program will touch: that is no use of the disk.
bool maps_suits(size_t length, int access, int flags)
{
    const int needed = MAP_PRIVATE | MAP_ANONYMOUS;
    const int allowed = needed | MAP_FIXED | MAP_POPULATE | MAP_NONBLOCK;

    return length > 0 && (flags & needed) == needed && !(flags & ~allowed) && access == (PROT_READ | PROT_WRITE);
}

static uint64_t align_for(uint64_t length)
{
    return length >= DISK_LARGE_PAGE ? DISK_LARGE_PAGE : page_size();
}

static uintptr_t end_of(const struct piece *p)
{
    return p->at + p->length;
}

// Memory of malloc is not unmapped: its addresses belong to the library.
static bool is_of_malloc(uintptr_t at)
{
    void *heap;

    return own_find((void *)at, &heap) == OWN_BLOCKS;
}

void maps_forget(uintptr_t at, uintptr_t end)
{
    struct pieces *p = &blocks.pieces;
    size_t i = pieces_find(p, at);

    if (i == p->n || p->items[i].at >= end || pieces_reserve(p, 2) < 0)
        return;
    pieces_split(p, at);
    pieces_split(p, end);
    i = pieces_find(p, at);
    while (i < p->n && p->items[i].at < end) {
        struct piece gone = p->items[i];

        pieces_remove(p, i, 1);
        if (gone.region != PIECE_MEMORY)
            disk_give(gone.region, gone.offset, gone.length, gone.born, false);
    }
}

static bool has_pieces(uintptr_t at, uintptr_t end)
{
    size_t i = pieces_find(&blocks.pieces, at);

    return i < blocks.pieces.n && blocks.pieces.items[i].at < end;
}

static int put(uintptr_t at, uint64_t length, int access)
{
    struct piece p = {.at = at, .length = length, .access = access, .born = disk.forks};
    int e = pieces_reserve(&blocks.pieces, 4);

    if (e == 0)
        e = disk_take(length, align_for(length), true, &p.region, &p.offset);
    if (e < 0)
        return e;
    e = blocks_map(at, length, access, p.region, p.offset);
    if (e < 0) {
        disk_give(p.region, p.offset, length, p.born, false);
        return e;
    }
    maps_forget(at, at + length); // what the program had there
    pieces_insert(&blocks.pieces, p);
    return 0;
}

void *maps_map(void *at, size_t length, int access)
{
    uint64_t rounded;
    void *to = at;
    int e;

    if (!checked_align_up(length, page_size(), &rounded) || (at && (uintptr_t)at % page_size() != 0))
        return MAP_FAILED;
    blocks_lock();
    e = blocks_open();
    if (e == 0 && !at)
        to = addresses_reserve(rounded);
    if (e == 0 && to == MAP_FAILED)
        e = -ENOMEM;
    if (e == 0 && at && is_of_malloc((uintptr_t)at))
        e = -EINVAL;
    if (e == 0)
        e = put((uintptr_t)to, rounded, access);
    if (e < 0 && !at && to && to != MAP_FAILED)
        kernel_munmap(to, rounded);
    blocks_unlock();
    return e == 0 ? to : MAP_FAILED;
}

void *maps_map_over(void *at, size_t length, int access, int flags, int fd, int64_t offset)
{
    uintptr_t from = (uintptr_t)at, end = from + align_up(length, page_size());
    void *to;

    blocks_lock();
    if (has_pieces(from, end) && pieces_reserve(&blocks.pieces, 2) < 0) {
        blocks_unlock();
        errno = ENOMEM;
        return MAP_FAILED;
    }
    to = kernel_mmap(at, length, access, flags, fd, offset);
    if (to != MAP_FAILED && has_pieces(from, end))
        maps_forget(from, end);
    blocks_unlock();
    return to;
}

int maps_munmap(void *at, size_t length)
{
    uintptr_t from = (uintptr_t)at, end = from + align_up(length, page_size());
    int r;

    blocks_lock();
    if (!has_pieces(from, end)) {
        r = kernel_munmap(at, length);
    } else if (is_of_malloc(from) || pieces_reserve(&blocks.pieces, 2) < 0) {
        errno = EINVAL;
        r = -1;
    } else {
        r = kernel_munmap(at, length);
        if (r == 0)
            maps_forget(from, end);
    }
    blocks_unlock();
    return r;
}

static struct piece *piece_of(uintptr_t from, uintptr_t to)
{
    pieces_split(&blocks.pieces, from);
    pieces_split(&blocks.pieces, to);
    return &blocks.pieces.items[pieces_find(&blocks.pieces, from)];
}

// At home the region has these addresses: its bytes stay in use there, so that it leaves them alone.
static void abandon(const struct piece *p)
{
    if (p->region != PIECE_MEMORY && !disk.regions[p->region].inherited && !blocks_is_at_home(p))
        disk_abandon(p->region, p->offset, p->length);
}

// Memory of the process takes the place of the piece's bytes.
static int replace_by_memory(struct piece *p, uintptr_t from, uintptr_t to)
{
    void *at = kernel_mmap((void *)from, to - from, p->access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (at == MAP_FAILED)
        return -1;
    p = piece_of(from, to);
    abandon(p);
    p->region = PIECE_MEMORY;
    return 0;
}

// Other bytes on disk, zeros, take their place.  0 or -errno.
static int replace_by_others(struct piece *p, uintptr_t from, uintptr_t to)
{
    unsigned region;
    uint64_t offset;
    int e = disk_take(to - from, page_size(), true, &region, &offset);

    if (e < 0)
        return e;
    e = blocks_map(from, to - from, p->access, region, offset);
    if (e < 0) {
        disk_give(region, offset, to - from, disk.forks, false);
        return e;
    }
    p = piece_of(from, to);
    abandon(p);
    p->region = region;
    p->offset = offset;
    p->born = disk.forks;
    return 0;
}

// A child that has the bytes, too, keeps them as they are, but for those at home: there nothing else can take their
// place.
static int zero_piece(struct piece *p, uintptr_t from, uintptr_t to)
{
    unsigned born = blocks_is_at_home(p) ? disk.forks : p->born;
    int e = -EAGAIN;

    if (!disk.regions[p->region].inherited)
        e = disk_zero(p->region, p->offset + (from - p->at), to - from, born);
    if (e == -EBUSY)
        e = replace_by_others(p, from, to);
    return e == 0 ? 0 : replace_by_memory(p, from, to);
}

// MADV_DONTNEED of private anonymous memory makes zeros.
static int make_zeros(uintptr_t at, uintptr_t end)
{
    struct pieces *p = &blocks.pieces;
    int r = 0;

    for (size_t i = pieces_find(p, at); r == 0 && at < end && i < p->n && p->items[i].at < end;
         i = pieces_find(p, at)) {
        struct piece *x = &p->items[i];
        uintptr_t from = u64_max(x->at, at), to = u64_min(end_of(x), end);

        if (from > at)
            kernel_madvise((void *)at, from - at, MADV_DONTNEED); // memory of the kernel's between two pieces
        if (x->region == PIECE_MEMORY)
            r = kernel_madvise((void *)from, to - from, MADV_DONTNEED);
        else
            r = zero_piece(x, from, to);
        at = to;
    }
    if (r == 0 && at < end)
        r = kernel_madvise((void *)at, end - at, MADV_DONTNEED);
    return r;
}

// What the kernel would do with a shared mapping is not what it does with private memory.
static int advise(void *at, size_t length, int advice)
{
    uintptr_t from = (uintptr_t)at, end = from + align_up(length, page_size());

    switch (advice) {
    case MADV_FREE:
    case MADV_DONTNEED:
        if (from % page_size() != 0 || pieces_reserve(&blocks.pieces, 2 * blocks.pieces.n + 2) < 0) {
            errno = EINVAL;
            return -1;
        }
        if (advice == MADV_FREE && length < DISK_LARGE_PAGE)
            return 0; // the bytes may stay as they are
        return make_zeros(from, end);
    case MADV_REMOVE: // refused for private memory; here it would take blocks away that were granted
        errno = EINVAL;
        return -1;
    default:
        return kernel_madvise(at, length, advice);
    }
}

int maps_madvise(void *at, size_t length, int advice)
{
    uintptr_t from = (uintptr_t)at, end;
    int r;

    if (advice != MADV_FREE && advice != MADV_DONTNEED && advice != MADV_REMOVE)
        return kernel_madvise(at, length, advice);
    blocks_lock();
    end = from + length;
    r = has_pieces(from, end) ? advise(at, length, advice) : kernel_madvise(at, length, advice);
    blocks_unlock();
    return r;
}

int maps_mprotect(void *at, size_t length, int access)
{
    uintptr_t from = (uintptr_t)at, end = from + align_up(length, page_size());
    struct pieces *p = &blocks.pieces;
    int r;

    blocks_lock();
    if (has_pieces(from, end) && pieces_reserve(p, 2) < 0) {
        blocks_unlock();
        errno = ENOMEM;
        return -1;
    }
    r = kernel_mprotect(at, length, access);
    if (r == 0 && has_pieces(from, end)) {
        pieces_split(p, from);
        pieces_split(p, end);
        for (size_t i = pieces_find(p, from); i < p->n && p->items[i].at < end; i++)
            p->items[i].access = access;
    }
    blocks_unlock();
    return r;
}
