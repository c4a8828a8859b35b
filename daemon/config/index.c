// Finds subjects by their names and by their numbers among a hundred thousand as among ten.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_internal.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

enum { FIRST_SLOTS = 32 };

static uint32_t hash(enum config_subject_kind kind, const void *bytes, size_t n)
{
    uint32_t h = 2166136261u + (uint32_t)kind; // FNV-1a

    for (const unsigned char *c = bytes; n > 0; n--)
        h = (h ^ *c++) * 16777619u;
    return h;
}

static uint32_t hash_name(enum config_subject_kind kind, const char *name)
{
    return hash(kind, name ? name : "", name ? strlen(name) : 0);
}

static uint32_t hash_id(enum config_subject_kind kind, uint32_t id)
{
    return hash(kind, &id, sizeof(id));
}

static void put(uint32_t *slots, size_t n_slots, uint32_t at, size_t index)
{
    while (slots[at & (n_slots - 1)])
        at++;
    slots[at & (n_slots - 1)] = (uint32_t)index + 1;
}

static void put_subject(struct config_index *x, const struct config_subject *s, size_t index)
{
    put(x->by_name, x->n_slots, hash_name(s->kind, s->name), index);
    if (s->known)
        put(x->by_id, x->n_slots, hash_id(s->kind, s->id), index);
}

int config_index_reserve(struct config *c, size_t n)
{
    struct config_index x = {.n_slots = c->index.n_slots ? c->index.n_slots : FIRST_SLOTS};

    while (x.n_slots / 2 < n)
        x.n_slots *= 2;
    if (x.n_slots == c->index.n_slots)
        return 0;
    x.by_name = calloc(x.n_slots, sizeof(*x.by_name));
    x.by_id = calloc(x.n_slots, sizeof(*x.by_id));
    if (!x.by_name || !x.by_id) {
        config_index_deinit(&x);
        return -ENOMEM;
    }
    config_index_deinit(&c->index);
    c->index = x;
    config_index_rebuild(c);
    return 0;
}

void config_index_deinit(struct config_index *x)
{
    free(x->by_name);
    free(x->by_id);
    *x = (struct config_index){0};
}

void config_index_rebuild(struct config *c)
{
    memset(c->index.by_name, 0, c->index.n_slots * sizeof(*c->index.by_name));
    memset(c->index.by_id, 0, c->index.n_slots * sizeof(*c->index.by_id));
    for (size_t i = 0; i < c->n_subjects; i++)
        put_subject(&c->index, &c->subjects[i], i);
}

void config_index_add(struct config *c, size_t index)
{
    put_subject(&c->index, &c->subjects[index], index);
}

struct config_subject *config_find_name(const struct config *c, enum config_subject_kind kind, const char *name)
{
    const struct config_index *x = &c->index;
    uint32_t found;

    if (x->n_slots == 0)
        return NULL;
    for (uint32_t at = hash_name(kind, name); (found = x->by_name[at & (x->n_slots - 1)]); at++) {
        struct config_subject *s = &c->subjects[found - 1];

        if (s->kind == kind && strcmp(s->name ? s->name : "", name ? name : "") == 0)
            return s;
    }
    return NULL;
}

struct config_subject *config_find_id(const struct config *c, enum config_subject_kind kind, uint32_t id)
{
    const struct config_index *x = &c->index;
    uint32_t found;

    if (x->n_slots == 0)
        return NULL;
    for (uint32_t at = hash_id(kind, id); (found = x->by_id[at & (x->n_slots - 1)]); at++) {
        struct config_subject *s = &c->subjects[found - 1];

        if (s->kind == kind && s->id == id)
            return s;
    }
    return NULL;
}

const struct config_subject *config_find_subject(const struct config *c, enum config_subject_kind kind,
                                                 const char *name)
{
    const struct config_subject *s = config_find_name(c, kind, name);
    uint32_t id;

    return s || !id_parse(name, &id) ? s : config_find_id(c, kind, id);
}
