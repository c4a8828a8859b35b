// See blocks.h.
#include "client/preload/blocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "client/preload/addresses.h"
#include "client/preload/disk.h"
#include "client/preload/kernel.h"
#include "client/preload/log.h"
#include "client/preload/opened.h"
#include "client/preload/single.h"
#include "proto/util/checked.h"
#include "proto/util/page.h"

#define SMALL_UNIT ((uint64_t)64 << 10)

struct blocks blocks;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool there;

void blocks_lock(void)
{
    pthread_mutex_lock(&lock);
}

bool blocks_try_lock(void)
{
    return pthread_mutex_trylock(&lock) == 0;
}

void blocks_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void blocks_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    disk_forked();
}

bool blocks_are_there(void)
{
    return atomic_load_explicit(&there, memory_order_relaxed);
}

int blocks_open(void)
{
    struct diskalloc *da;
    int e = opened_get(&da);

    if (e == 0)
        atomic_store(&there, true);
    return e;
}

int blocks_map(uintptr_t at, uint64_t length, int access, unsigned region, uint64_t offset)
{
    int fd = diskalloc_region_fd(disk.regions[region].region);
    void *to = (void *)at;

    if (fd < 0)
        return fd;
    if (kernel_mmap(to, length, access, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (int64_t)offset) == MAP_FAILED)
        return -errno;
    // A kernel without large pages refuses, and nothing is lost.
    if (single_is(region, offset, length)) {
        kernel_madvise(to, length, MADV_NOHUGEPAGE);
        kernel_madvise(to, length, MADV_RANDOM);
    } else if (length >= DISK_LARGE_PAGE)
        kernel_madvise(to, length, MADV_HUGEPAGE);
    return 0;
}

static uint64_t unit_for(uint64_t size)
{
    return u64_max(page_size(), size >= DISK_LARGE_PAGE / 2 ? DISK_LARGE_PAGE : SMALL_UNIT);
}

static uintptr_t home_of(const struct piece *p)
{
    return p->region == PIECE_MEMORY ? 0 : (uintptr_t)disk.regions[p->region].base + p->offset;
}

bool blocks_is_at_home(const struct piece *p)
{
    return home_of(p) == p->at;
}

void *blocks_malloc(size_t size, size_t alignment, bool zero)
{
    uint64_t length, unit = unit_for(size), offset;
    struct piece piece = {.access = PROT_READ | PROT_WRITE};
    int e;

    if (!checked_align_up(size, unit, &length))
        return NULL;
    blocks_lock();
    e = blocks_open();
    if (e == 0)
        e = pieces_reserve(&blocks.pieces, 1);
    if (e == 0)
        e = disk_take(length, u64_max(unit, alignment), zero, &piece.region, &offset);
    if (e == 0) {
        piece.offset = offset;
        piece.length = length;
        piece.at = piece.block = home_of(&piece);
        piece.born = disk.forks;
        pieces_insert(&blocks.pieces, piece);
        blocks.n_blocks++;
        blocks.most_blocks = blocks.n_blocks > blocks.most_blocks ? blocks.n_blocks : blocks.most_blocks;
    }
    blocks_unlock();
    return e == 0 ? (void *)piece.at : NULL;
}

// The bytes go back to their region, and at the addresses there is nothing any more, except at home, where the region
// sees to that.
static void give(const struct piece *p)
{
    bool inherited = p->region == PIECE_MEMORY || disk.regions[p->region].inherited, home = home_of(p) == p->at;

    if (inherited || !home)
        kernel_vacate((void *)p->at, p->length);
    if (inherited)
        return;
    if (p->access != (PROT_READ | PROT_WRITE) && home)
        kernel_mprotect((void *)p->at, p->length, PROT_READ | PROT_WRITE);
    disk_give(p->region, p->offset, p->length, p->born, home);
}

static size_t find(const void *block, const char *call)
{
    size_t i = pieces_find_block(&blocks.pieces, (uintptr_t)block);

    if (i == blocks.pieces.n)
        log_and_abort("%s: %p is no block, or was freed before", call, block);
    return i;
}

void blocks_free(void *block)
{
    uint64_t reserve;
    size_t i, n;

    blocks_lock();
    i = find(block, "free");
    reserve = blocks.pieces.items[i].reserve;
    pieces_block_length(&blocks.pieces, i, &n);
    for (size_t k = i; k < i + n; k++)
        give(&blocks.pieces.items[k]);
    pieces_remove(&blocks.pieces, i, n);
    addresses_release((uintptr_t)block, reserve);
    blocks.n_blocks--;
    blocks_unlock();
}

size_t blocks_usable_size(const void *block)
{
    size_t n, length;

    blocks_lock();
    length = pieces_block_length(&blocks.pieces, find(block, "malloc_usable_size"), &n);
    blocks_unlock();
    return length;
}

// The end of the block, from LENGTH bytes on, is given back.
static void cut(size_t i, uint64_t length)
{
    uintptr_t block = blocks.pieces.items[i].at, end = block + length;
    size_t k;

    pieces_split(&blocks.pieces, end);
    k = pieces_find(&blocks.pieces, end);
    while (k < blocks.pieces.n && blocks.pieces.items[k].block == block) {
        give(&blocks.pieces.items[k]);
        pieces_remove(&blocks.pieces, k, 1);
    }
}

static bool continues(const struct piece *last, const struct piece *more)
{
    return last->region == more->region && last->offset + last->length == more->offset && last->born == more->born &&
           last->access == more->access;
}

// The block got MORE, which is mapped behind its LAST piece.
static void join(struct piece *last, const struct piece *more)
{
    if (continues(last, more))
        last->length += more->length;
    else
        pieces_insert(&blocks.pieces, *more);
}

// The bytes behind the last piece, if they are free and so are the addresses.  0; -EAGAIN: they are not; -errno.
static int grow_at_home(struct piece *last, uint64_t more)
{
    struct piece p = *last;
    int e;

    if (last->region == PIECE_MEMORY || home_of(last) != last->at || last->access != (PROT_READ | PROT_WRITE))
        return -EAGAIN;
    p.offset = last->offset + last->length;
    p.at = last->at + last->length;
    p.length = more;
    p.born = disk.forks;
    p.reserve = 0;
    e = disk_extend(p.region, p.offset, more, false);
    if (e == 0)
        join(last, &p);
    return e;
}

// Takes MORE bytes, behind those of LAST if they are free, for addresses behind it.
static int take_more(const struct piece *last, uint64_t more, struct piece *ret)
{
    int e = -EAGAIN;

    *ret = (struct piece){.length = more, .access = PROT_READ | PROT_WRITE, .block = last->block};
    ret->born = disk.forks;
    if (last->region != PIECE_MEMORY) {
        ret->region = last->region;
        ret->offset = last->offset + last->length;
        e = disk_extend(ret->region, ret->offset, more, false);
    }
    if (e == -EAGAIN)
        e = disk_take(more, unit_for(more), false, &ret->region, &ret->offset);
    return e;
}

// The block is elsewhere already, and has addresses behind it.
static int grow_elsewhere(size_t i, size_t n, uint64_t length, uint64_t more)
{
    struct piece *first = &blocks.pieces.items[i], *last = &blocks.pieces.items[i + n - 1], p;
    int e;

    if (first->reserve < length + more)
        return -EAGAIN;
    e = take_more(last, more, &p);
    if (e < 0)
        return e;
    p.at = last->at + last->length;
    e = blocks_map(p.at, more, p.access, p.region, p.offset);
    if (e < 0)
        disk_give(p.region, p.offset, more, p.born, false);
    else
        join(last, &p);
    return e;
}

// Maps the N pieces from index I on once more, in a row from AT on.
static int map_again(size_t i, size_t n, uintptr_t at)
{
    int e = 0;

    for (size_t k = i; e == 0 && k < i + n; k++) {
        const struct piece *p = &blocks.pieces.items[k];

        if (p->region == PIECE_MEMORY || disk.regions[p->region].inherited)
            return -EAGAIN;
        e = blocks_map(at, p->length, p->access, p->region, p->offset);
        at += p->length;
    }
    return e;
}

static void leave(const struct piece *p)
{
    if (home_of(p) != p->at)
        kernel_vacate((void *)p->at, p->length);
}

// The block moves to other addresses, and grows there.
static int move(size_t i, size_t n, uint64_t length, uint64_t more, uintptr_t *ret)
{
    uint64_t reserve, old_reserve = blocks.pieces.items[i].reserve;
    uintptr_t from = blocks.pieces.items[i].at;
    struct piece p = {0};
    int e = addresses_take(length + more, ret, &reserve);

    if (e < 0)
        return e;
    e = map_again(i, n, *ret);
    if (e == 0)
        e = take_more(&blocks.pieces.items[i + n - 1], more, &p);
    if (e == 0) {
        p.at = *ret + length;
        e = blocks_map(p.at, more, p.access, p.region, p.offset);
        if (e < 0)
            disk_give(p.region, p.offset, more, p.born, false);
    }
    if (e < 0) {
        kernel_vacate((void *)*ret, length + more);
        addresses_release(*ret, reserve);
        return e;
    }
    p.block = *ret;
    for (size_t k = 0; k < n; k++) {
        struct piece moved = blocks.pieces.items[i];

        leave(&moved);
        pieces_remove(&blocks.pieces, i, 1);
        moved.at += *ret - from;
        moved.block = *ret;
        moved.reserve = k == 0 ? reserve : 0;
        pieces_insert(&blocks.pieces, moved);
        if (moved.at < from) // sorted before the others
            i++;
    }
    addresses_release(from, old_reserve);
    i = pieces_find_block(&blocks.pieces, *ret);
    join(&blocks.pieces.items[i + n - 1], &p);
    return 0;
}

static int grow(size_t i, size_t n, uint64_t length, uint64_t more, uintptr_t *ret)
{
    int e = pieces_reserve(&blocks.pieces, 2);

    if (e == 0)
        e = grow_at_home(&blocks.pieces.items[i + n - 1], more);
    if (e == -EAGAIN)
        e = grow_elsewhere(i, n, length, more);
    if (e == -EAGAIN)
        e = move(i, n, length, more, ret);
    return e;
}

// Where a block can't grow, because it was inherited through fork, it is copied.
static void *copy(void *block, uint64_t length, size_t size)
{
    void *new = blocks_malloc(size, 1, false);

    if (!new)
        return NULL;
    memcpy(new, block, length);
    blocks_free(block);
    return new;
}

void *blocks_realloc(void *block, size_t size)
{
    uintptr_t at = (uintptr_t)block;
    uint64_t wanted, length;
    size_t i, n;
    int e;

    if (!checked_align_up(size, unit_for(size), &wanted))
        return NULL;
    blocks_lock();
    i = find(block, "realloc");
    length = pieces_block_length(&blocks.pieces, i, &n);
    e = pieces_reserve(&blocks.pieces, 1);
    if (wanted < length && e == 0)
        cut(i, wanted);
    else if (wanted > length)
        e = grow(i, n, length, wanted - length, &at);
    blocks_unlock();
    if (e == -EAGAIN)
        return copy(block, length, size);
    return e == 0 || wanted <= length ? (void *)at : NULL;
}
