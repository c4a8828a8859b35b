// Round robin: see rounds.h.
#include "daemon/rounds.h"

#include <stddef.h>

void rounds_init(struct rounds *r)
{
    TAILQ_INIT(&r->owners);
}

void rounds_owner_init(struct rounds_owner *o)
{
    TAILQ_INIT(&o->items);
    o->rounds = NULL;
}

bool rounds_is_empty(const struct rounds *r)
{
    return TAILQ_EMPTY(&r->owners);
}

void rounds_add(struct rounds *r, struct rounds_owner *owner, struct rounds_item *i)
{
    if (i->owner)
        return;
    i->owner = owner;
    TAILQ_INSERT_TAIL(&owner->items, i, entry);
    if (owner->rounds)
        return;
    owner->rounds = r;
    TAILQ_INSERT_TAIL(&r->owners, owner, entry);
}

void rounds_remove(struct rounds_item *i)
{
    struct rounds_owner *owner = i->owner;

    if (!owner)
        return;
    TAILQ_REMOVE(&owner->items, i, entry);
    i->owner = NULL;
    if (!TAILQ_EMPTY(&owner->items))
        return;
    TAILQ_REMOVE(&owner->rounds->owners, owner, entry);
    owner->rounds = NULL;
}

struct rounds_item *rounds_take(struct rounds *r)
{
    struct rounds_owner *owner = TAILQ_FIRST(&r->owners);
    struct rounds_item *i;

    if (!owner)
        return NULL;
    TAILQ_REMOVE(&r->owners, owner, entry);
    TAILQ_INSERT_TAIL(&r->owners, owner, entry);
    i = TAILQ_FIRST(&owner->items);
    rounds_remove(i);
    return i;
}
