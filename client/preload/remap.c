// mremap of memory that lies on disk: see maps.h.  Moving changes addresses only; no byte is copied.
#include <errno.h>
#include <sys/mman.h>

#include "client/preload/addresses.h"
#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/kernel.h"
#include "client/preload/maps.h"
#include "client/preload/own.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

// A call of mremap; addresses and lengths are multiples of the page.
struct remap {
    uintptr_t from, to; // to: where it begins afterwards
    uint64_t old_length, length;
    bool fall_back;
};

static void *fail(int error)
{
    errno = error;
    return MAP_FAILED;
}

// Whether all bytes of the range are in pieces, of mmap.
static bool is_ours(uintptr_t at, uint64_t length)
{
    const struct pieces *p = &blocks.pieces;
    uintptr_t end = at + length;

    for (size_t i = pieces_find(p, at); at < end; i++) {
        if (i == p->n || p->items[i].at > at || p->items[i].block)
            return false;
        at = p->items[i].at + p->items[i].length;
    }
    return true;
}

// The bytes behind the old ones, which are mapped at AT, as zeros.  0 or an errno.
static int add(const struct remap *m, uintptr_t at, bool may_replace)
{
    uint64_t more = m->length - m->old_length;
    size_t last = pieces_find(&blocks.pieces, m->from + m->old_length - 1);
    int access = blocks.pieces.items[last].access, e, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    struct piece p = {.at = at, .length = more, .access = access, .born = disk.forks};
    void *taken;

    // The addresses first: nobody else may get them meanwhile.
    taken = kernel_mmap((void *)at, more, PROT_NONE, flags | (may_replace ? MAP_FIXED : MAP_FIXED_NOREPLACE), -1, 0);
    if (taken != (void *)at) {
        if (taken != MAP_FAILED)
            kernel_munmap(taken, more);
        return EEXIST;
    }
    e = disk_take(more, more >= DISK_LARGE_PAGE ? DISK_LARGE_PAGE : page_size(), true, &p.region, &p.offset);
    if (e == 0) {
        e = blocks_map(at, more, access, p.region, p.offset);
        if (e < 0)
            disk_give(p.region, p.offset, more, p.born, false);
    }
    if (e < 0) {
        p.region = PIECE_MEMORY;
        if (!m->fall_back ||
            kernel_mmap((void *)at, more, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
            kernel_munmap((void *)at, more);
            return ENOMEM;
        }
    }
    pieces_insert(&blocks.pieces, p);
    return 0;
}

// Each piece goes to its new address; needs room for one piece.
static void move_pieces(const struct remap *m)
{
    struct pieces *p = &blocks.pieces;

    pieces_split(p, m->from);
    pieces_split(p, m->from + m->old_length);
    for (uintptr_t at = m->from, end = at + m->old_length; at < end;) {
        size_t i = pieces_find(p, at);
        struct piece x = p->items[i];

        kernel_mremap((void *)x.at, x.length, x.length, MREMAP_MAYMOVE | MREMAP_FIXED,
                      (void *)(m->to + (x.at - m->from)));
        pieces_remove(p, i, 1);
        at = x.at + x.length;
        x.at = m->to + (x.at - m->from);
        pieces_insert(p, x);
    }
}

// Moves to addresses that the caller has taken: all LENGTH bytes there.
static void *move(const struct remap *m)
{
    int error = m->length > m->old_length ? add(m, m->to + m->old_length, true) : 0;

    if (error) {
        kernel_munmap((void *)m->to, m->length);
        return fail(error);
    }
    move_pieces(m);
    return (void *)m->to;
}

static void *remap(struct remap m, int flags, void *to)
{
    void *at;
    int error;

    if (m.length < m.old_length) {
        blocks_unlock();
        error = maps_munmap((void *)(m.from + m.length), m.old_length - m.length);
        blocks_lock();
        if (error)
            return MAP_FAILED;
        m.old_length = m.length;
    }
    if (flags & MREMAP_FIXED) {
        if ((uintptr_t)to % page_size() != 0 ||
            ((uintptr_t)to < m.from + m.old_length && m.from < (uintptr_t)to + m.length))
            return fail(EINVAL);
        blocks_unlock();
        at = maps_map_over(to, m.length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        blocks_lock();
        if (at == MAP_FAILED)
            return at;
        m.to = (uintptr_t)to;
        return move(&m);
    }
    if (m.length == m.old_length)
        return (void *)m.from;
    error = add(&m, m.from + m.old_length, false);
    if (error != EEXIST)
        return error ? fail(error) : (void *)m.from;
    if (!(flags & MREMAP_MAYMOVE))
        return fail(ENOMEM);
    at = addresses_reserve(align_up(m.length, DISK_LARGE_PAGE));
    if (at == MAP_FAILED)
        return at;
    kernel_munmap((char *)at + m.length, align_up(m.length, DISK_LARGE_PAGE) - m.length);
    m.to = (uintptr_t)at;
    return move(&m);
}

void *maps_mremap(void *at, size_t old_length, size_t length, int flags, void *to, bool fall_back)
{
    struct remap m = {.from = (uintptr_t)at, .fall_back = fall_back};
    void *moved = NULL;

    blocks_lock();
    if (old_length > 0 && checked_align_up(old_length, page_size(), &m.old_length) &&
        checked_align_up(length, page_size(), &m.length) && m.length > 0 && is_ours(m.from, m.old_length)) {
        if (pieces_reserve(&blocks.pieces, 6) < 0)
            moved = fail(ENOMEM);
        else if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED))
            moved = fail(EINVAL);
        else
            moved = remap(m, flags, to);
    }
    blocks_unlock();
    if (moved)
        return moved;
    moved = kernel_mremap(at, old_length, length, flags, to);
    // Something of the program's has taken the place of memory of ours.
    if (moved != MAP_FAILED && flags & MREMAP_FIXED) {
        uintptr_t from = (uintptr_t)moved;

        blocks_lock();
        maps_forget(from, from + align_up(length, page_size()));
        blocks_unlock();
    }
    return moved;
}
