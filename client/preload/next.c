// See next.h.  The first call comes from the program loader, before any constructor.  dlsym may allocate: that comes
// from a small buffer, and is never freed.
#include "client/preload/next.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "client/preload/log.h"
#include "client/preload/own.h"

enum { FIRST_BYTES = 16384, ALIGN = 16 };

static _Alignas(ALIGN) char first[FIRST_BYTES];
static size_t first_used;
static bool is_looking;

// Zeros; NULL: the buffer is full.
static void *take_first(size_t size)
{
    char *block = first + first_used;

    if (size > FIRST_BYTES - first_used - ALIGN)
        return NULL;
    if (first_used == 0)
        own_add(first, sizeof first, OWN_FIRST, NULL);
    first_used += (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return block;
}

static void *look_up(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        log_and_abort("this program has no %s", name);
    return function;
}

static void look_all_up(void)
{
    struct next found;

    is_looking = true;
    found.malloc = (void *(*)(size_t))look_up("malloc");
    found.calloc = (void *(*)(size_t, size_t))look_up("calloc");
    found.realloc = (void *(*)(void *, size_t))look_up("realloc");
    found.free = (void (*)(void *))look_up("free");
    found.posix_memalign = (int (*)(void **, size_t, size_t))look_up("posix_memalign");
    found.aligned_alloc = (void *(*)(size_t, size_t))look_up("aligned_alloc");
    found.memalign = (void *(*)(size_t, size_t))look_up("memalign");
    found.valloc = (void *(*)(size_t))look_up("valloc");
    found.pvalloc = (void *(*)(size_t))look_up("pvalloc");
    found.usable_size = (size_t(*)(void *))look_up("malloc_usable_size");
    is_looking = false;
    next = found;
}

static void *first_malloc(size_t size)
{
    if (is_looking)
        return take_first(size);
    look_all_up();
    return next.malloc(size);
}

static void *first_calloc(size_t n, size_t size)
{
    if (is_looking)
        return take_first(n * size);
    look_all_up();
    return next.calloc(n, size);
}

static void *first_realloc(void *block, size_t size)
{
    if (is_looking)
        return block ? NULL : take_first(size);
    look_all_up();
    return next.realloc(block, size);
}

static void first_free(void *block)
{
    if (is_looking)
        return;
    look_all_up();
    next.free(block);
}

static int first_posix_memalign(void **ret, size_t alignment, size_t size)
{
    if (is_looking)
        return ENOMEM;
    look_all_up();
    return next.posix_memalign(ret, alignment, size);
}

static void *first_aligned_alloc(size_t alignment, size_t size)
{
    if (is_looking)
        return NULL;
    look_all_up();
    return next.aligned_alloc(alignment, size);
}

static void *first_memalign(size_t alignment, size_t size)
{
    if (is_looking)
        return alignment <= ALIGN ? take_first(size) : NULL;
    look_all_up();
    return next.memalign(alignment, size);
}

static void *first_valloc(size_t size)
{
    if (is_looking)
        return NULL;
    look_all_up();
    return next.valloc(size);
}

static void *first_pvalloc(size_t size)
{
    if (is_looking)
        return NULL;
    look_all_up();
    return next.pvalloc(size);
}

static size_t first_usable_size(void *block)
{
    if (is_looking)
        return 0;
    look_all_up();
    return next.usable_size(block);
}

struct next next = {
    .malloc = first_malloc,
    .calloc = first_calloc,
    .realloc = first_realloc,
    .free = first_free,
    .posix_memalign = first_posix_memalign,
    .aligned_alloc = first_aligned_alloc,
    .memalign = first_memalign,
    .valloc = first_valloc,
    .pvalloc = first_pvalloc,
    .usable_size = first_usable_size,
};
