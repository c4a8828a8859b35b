// The configuration as a table of subjects, which are found by name and by number in trees; and the functions that
// make values and sentences.  One thread at a time uses a configuration.
#include "daemon/config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_internal.h"
#include "proto/util/cleanup.h"
#include "proto/util/text.h"

static int compare_names(const struct config_subject *a, const struct config_subject *b)
{
    int kinds = (a->kind > b->kind) - (a->kind < b->kind);

    return kinds ? kinds : strcmp(a->name ? a->name : "", b->name ? b->name : "");
}

static int compare_ids(const struct config_subject *a, const struct config_subject *b)
{
    int kinds = (a->kind > b->kind) - (a->kind < b->kind), ids = (a->id > b->id) - (a->id < b->id);

    return kinds ? kinds : ids ? ids : (a->nth > b->nth) - (a->nth < b->nth);
}

TREE_GENERATE(config_names, config_subject, by_name, compare_names)
TREE_GENERATE(config_ids, config_subject, by_id, compare_ids)

struct config_subject *config_find_name(const struct config *c, enum config_subject_kind kind, const char *name)
{
    struct config_subject wanted = {.kind = kind, .name = (char *)name};

    return RB_FIND(config_names, (struct config_names *)&c->names, &wanted);
}

struct config_subject *config_find_id(const struct config *c, enum config_subject_kind kind, uint32_t id)
{
    struct config_subject wanted = {.kind = kind, .id = id};
    struct config_subject *s = RB_NFIND(config_ids, (struct config_ids *)&c->ids, &wanted);

    return s && s->kind == kind && s->id == id ? s : NULL;
}

struct config_subject *config_next_same(const struct config_subject *s)
{
    struct config_subject *next = s->known ? RB_NEXT(config_ids, NULL, (struct config_subject *)s) : NULL;

    return next && next->kind == s->kind && next->id == s->id ? next : NULL;
}

// Puts the answer of NAMES about S into next_known and next_id.  Without an answer S stays as it is.
static void find_again(struct config_subject *s, const struct config_resolver *names)
{
    int r = names->find(names->data, s->kind == CONFIG_USER, s->name, &s->next_id);

    s->next_known = r == 0 || (r != -ENOENT && s->known);
    if (r != 0)
        s->next_id = s->id;
}

static bool find_admins_again(struct config *c, const struct config_resolver *names)
{
    gid_t gid = c->admin_gid;
    int r = names->find(names->data, false, c->admin_group, &gid);
    bool known = r == 0 || (r != -ENOENT && c->admin_gid_known);
    bool changed = known != c->admin_gid_known || (r == 0 && gid != c->admin_gid);

    c->admin_gid_known = known;
    if (r == 0)
        c->admin_gid = gid;
    return changed;
}

bool config_find_names_again(struct config *c, const struct config_resolver *names)
{
    bool changed = find_admins_again(c, names);

    // Numbers may have been exchanged between names: all old ones go before the new ones come.
    for (size_t i = 0; i < c->n_subjects; i++) {
        struct config_subject *s = c->subjects[i];

        if (!config_is_of_user_database(s->kind))
            continue;
        find_again(s, names);
        if (s->known && (!s->next_known || s->next_id != s->id))
            RB_REMOVE(config_ids, &c->ids, s);
    }
    for (size_t i = 0; i < c->n_subjects; i++) {
        struct config_subject *s = c->subjects[i];
        bool was_known = s->known;

        if (!config_is_of_user_database(s->kind) || (s->next_known == was_known && s->next_id == s->id))
            continue;
        changed = true;
        s->known = s->next_known;
        s->id = s->next_id;
        if (s->known)
            RB_INSERT(config_ids, &c->ids, s);
    }
    return changed;
}

const struct config_subject *config_find_subject(const struct config *c, enum config_subject_kind kind,
                                                 const char *name)
{
    const struct config_subject *s = config_find_name(c, kind, name);
    id_t id;

    return s || !config_is_of_user_database(kind) || !id_parse(name, &id) ? s : config_find_id(c, kind, id);
}

const struct config_disk *config_find_disk(const struct config *c, const char *path)
{
    const struct config_disk *d = c->disks;

    while (d && strcmp(d->path, path) != 0)
        d = d->next;
    return d;
}

int config_need_disk(struct config *c, const char *path, struct config_disk **ret)
{
    _cleanup_free_ char *copy = path[0] == '/' ? config_tidy_path(path) : NULL;
    struct config_disk **at = &c->disks;

    if (!copy)
        return path[0] == '/' ? -ENOMEM : -EINVAL;
    while (*at && strcmp((*at)->path, copy) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (!*at)
            return -ENOMEM;
        (*at)->path = steal(&copy);
    }
    *ret = *at;
    return 0;
}

bool config_has_cgroups(const struct config *c)
{
    for (size_t i = 0; i < c->n_subjects; i++)
        if (c->subjects[i]->kind == CONFIG_CGROUP)
            return true;
    return false;
}

int config_make_room(struct config *c)
{
    size_t n = c->n_allocated ? 2 * c->n_allocated : 16;
    struct config_subject **subjects;

    if (c->n_subjects < c->n_allocated)
        return 0;
    subjects = reallocarray(c->subjects, n, sizeof(struct config_subject *));
    if (!subjects)
        return -ENOMEM;
    c->subjects = subjects;
    c->n_allocated = n;
    return 0;
}

void config_insert(struct config *c, struct config_subject *s)
{
    c->subjects[c->n_subjects++] = s;
    s->nth = ++c->n_inserted;
    RB_INSERT(config_names, &c->names, s);
    if (s->known)
        RB_INSERT(config_ids, &c->ids, s);
}

void config_remove(struct config *c, struct config_subject *s)
{
    size_t i = 0;

    while (c->subjects[i] != s)
        i++;
    memmove(&c->subjects[i], &c->subjects[i + 1], (--c->n_subjects - i) * sizeof(struct config_subject *));
    RB_REMOVE(config_names, &c->names, s);
    if (s->known)
        RB_REMOVE(config_ids, &c->ids, s);
    config_subject_free(s);
}

void config_value_deinit(struct config_value *v)
{
    free(v->file);
    free(v->text);
    *v = (struct config_value){.kind = CONFIG_UNSET};
}

int config_value_set_origin(struct config_value *v, const char *file, unsigned line, const char *text)
{
    _cleanup_free_ char *new_file = file ? strdup(file) : NULL, *new_text = strdup(text);

    if (!new_text || (file && !new_file))
        return -ENOMEM;
    free(v->file);
    free(v->text);
    v->file = steal(&new_file);
    v->line = line;
    v->text = steal(&new_text);
    return 0;
}

void config_subject_free(struct config_subject *s)
{
    if (!s)
        return;
    for (size_t layer = 0; layer < CONFIG_LAYER_N; layer++)
        for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++)
            config_value_deinit(&s->values[layer][key]);
    free(s->name);
    free(s);
}

static void free_disks(struct config *c)
{
    struct config_disk *d;

    while ((d = c->disks)) {
        c->disks = d->next;
        config_value_deinit(&d->keep_free);
        config_value_deinit(&d->min_bytes);
        free(d->users);
        free(d->path);
        free(d);
    }
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_subjects; i++)
        config_subject_free(c->subjects[i]);
    free(c->subjects);
    config_value_deinit(&c->keep_free);
    free(c->admin_group);
    free(c->metrics_listen);
    config_paths_clear(&c->spill_dirs);
    free_disks(c);
    for (size_t i = 0; i < c->n_unsets; i++)
        free(c->unsets[i].subject);
    free(c->unsets);
    free(c->socket);
    free(c);
}

int config_fail(char **ret_error, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (vasprintf(ret_error, format, args) < 0)
        *ret_error = NULL;
    va_end(args);
    return error;
}

void config_warn(config_warn_fn warn, void *data, const char *format, ...)
{
    char *sentence = NULL;
    va_list args;

    if (!warn)
        return;
    va_start(args, format);
    if (vasprintf(&sentence, format, args) >= 0) {
        warn(data, sentence);
        free(sentence);
    }
    va_end(args);
}
