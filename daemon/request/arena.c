// A bounded allocator: see arena.h.
#include "daemon/request/arena.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/util/checked.h"

static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;
    size_t at = align_up(arena->used, 16);

    if (at > arena->size || size > arena->size - at)
        return NULL;
    arena->used = at + size;
    return arena->buffer + at;
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

int arena_init(struct arena *arena, size_t size)
{
    *arena = (struct arena){
        .allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = arena},
        .buffer = malloc(size),
        .size = size,
    };
    return arena->buffer ? 0 : -ENOMEM;
}

void arena_deinit(struct arena *arena)
{
    free(arena->buffer);
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    arena->used = 0;
}
