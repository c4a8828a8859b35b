// Round robin: items wait in the queue of their owner, and the owners who have some take turns.
//
// So whoever has very many items makes nobody else wait for more than one of them.  Nothing here takes memory, or looks
// at more than one item and one owner.
#pragma once
#include <stdbool.h>
#include <sys/queue.h>

struct rounds;

// In the struct of whoever owns items, for each kind of items.
struct rounds_owner {
    TAILQ_HEAD(, rounds_item) items;
    struct rounds *rounds; // NULL: the owner has no items
    TAILQ_ENTRY(rounds_owner) entry;
};

// In the struct of an item.  With zeros it waits nowhere.
struct rounds_item {
    struct rounds_owner *owner; // NULL: it waits nowhere
    TAILQ_ENTRY(rounds_item) entry;
};

struct rounds {
    TAILQ_HEAD(, rounds_owner) owners; // those who have items; the first one is next
};

void rounds_init(struct rounds *r);
void rounds_owner_init(struct rounds_owner *o);
bool rounds_is_empty(const struct rounds *r);
// I waits behind the other items of OWNER.  If it waits already, nothing changes.
void rounds_add(struct rounds *r, struct rounds_owner *owner, struct rounds_item *i);
// I waits no more.  If it waited nowhere, nothing changes.
void rounds_remove(struct rounds_item *i);
// Takes the first item of the owner who is next.  The turn of that owner is over.  NULL: there is no item.
struct rounds_item *rounds_take(struct rounds *r);
