// When quotas were set and unset at run time.
//
// The file of these quotas ends with comments, one for each key that was changed:
//
//   # 2026-12-01T01:03:50.123Z user:alice bytes = 5G
//   # 2026-12-01T01:04:11.007Z group:analysts regions unset
//
// So of two files, on two disks, it is known for each key which of them has the last word (merge.c).  Whoever edits the
// file need not care for these comments: a value that differs from its comment, or has none, counts as set when the
// file was changed, and one that is missing as unset then.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/subjects.h"
#include "proto/util/cleanup.h"

enum { MOST_UNSETS = 1000 };

static const char unset_word[] = " unset", set_word[] = " = ";

uint64_t config_next_change(const struct config *c)
{
    struct timespec t;
    uint64_t now;

    clock_gettime(CLOCK_REALTIME, &t);
    now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    return now > c->last_change ? now : c->last_change + 1;
}

static void note_change(struct config *c, uint64_t at)
{
    if (at > c->last_change)
        c->last_change = at;
}

// Under its name, or under another name of the same user or group.
static bool is_of(const struct config_unset *u, const struct config_subject *s)
{
    char name[CONFIG_SUBJECT_SIZE];

    if (u->kind != s->kind)
        return false;
    return (u->known && s->known && u->id == s->id) ||
           strcmp(u->subject, config_subject_text(s, name, sizeof name)) == 0;
}

static struct config_unset *find_unset(const struct config *c, const struct config_subject *s,
                                       enum config_quota_key key)
{
    for (size_t i = 0; i < c->n_unsets; i++)
        if (c->unsets[i].key == key && is_of(&c->unsets[i], s))
            return &c->unsets[i];
    return NULL;
}

static struct config_unset *find_oldest(struct config *c)
{
    struct config_unset *oldest = c->unsets;

    for (size_t i = 1; i < c->n_unsets; i++)
        if (c->unsets[i].at < oldest->at)
            oldest = &c->unsets[i];
    return oldest;
}

static void remove_unset(struct config *c, struct config_unset *u)
{
    free(u->subject);
    *u = c->unsets[--c->n_unsets];
}

void config_forget_unset(struct config *c, const struct config_subject *s, enum config_quota_key key)
{
    struct config_unset *u = find_unset(c, s, key);

    if (u)
        remove_unset(c, u);
}

void config_note_unset(struct config *c, const struct config_subject *s, enum config_quota_key key, uint64_t at)
{
    struct config_unset *u = find_unset(c, s, key), *unsets;
    char name[CONFIG_SUBJECT_SIZE];
    _cleanup_free_ char *copy = u ? NULL : strdup(config_subject_text(s, name, sizeof name));

    note_change(c, at);
    if (u) {
        if (at > u->at)
            u->at = at;
        return;
    }
    if (c->n_unsets == MOST_UNSETS)
        remove_unset(c, find_oldest(c));
    unsets = reallocarray(c->unsets, c->n_unsets + 1, sizeof *unsets);
    if (!copy || !unsets) {
        c->unsets = unsets ? unsets : c->unsets;
        return;
    }
    c->unsets = unsets;
    c->unsets[c->n_unsets++] = (struct config_unset){
        .subject = steal(&copy), .kind = s->kind, .known = s->known, .id = s->id, .key = key, .at = at};
}

uint64_t config_last_change(const struct config *c, const struct config_subject *s, enum config_quota_key key)
{
    const struct config_value *v = &s->values[CONFIG_RUNTIME][key];
    const struct config_unset *u;

    if (v->kind != CONFIG_UNSET)
        return v->set_at;
    u = find_unset(c, s, key);
    return u ? u->at : 0;
}

void config_write_time(FILE *stream, uint64_t at, const char *subject, enum config_quota_key key, const char *text)
{
    time_t seconds = (time_t)(at / 1000);
    char date[32];
    struct tm t;

    if (!gmtime_r(&seconds, &t) || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &t) == 0)
        return;
    fprintf(stream, "# %s.%03uZ %s %s%s%s\n", date, (unsigned)(at % 1000), subject, config_quota_keys[key].name,
            text ? set_word : unset_word, text ? text : "");
}

// The time that COMMENT begins with, and *RET_REST: what follows it.  0: there is none.
static uint64_t parse_time(const char *comment, const char **ret_rest)
{
    unsigned ms;
    struct tm t = {0};
    time_t seconds;
    int n = 0;

    if (sscanf(comment, "# %4d-%2d-%2dT%2d:%2d:%2d.%3uZ %n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
               &t.tm_sec, &ms, &n) != 7 ||
        n == 0)
        return 0;
    t.tm_year -= 1900;
    t.tm_mon--;
    seconds = timegm(&t);
    *ret_rest = comment + n;
    return seconds > 0 ? (uint64_t)seconds * 1000 + ms : 0;
}

// The last place of WORD in TEXT; NULL: there is none.
static char *find_last(char *text, const char *word)
{
    char *last = NULL;

    for (char *at = text; (at = strstr(at, word)); at++)
        last = at;
    return last;
}

// Cuts "SUBJECT KEY = TEXT" or "SUBJECT KEY unset" into its parts; *RET_TEXT is NULL for the second.
static const struct config_key *take_apart(char *rest, char **ret_text)
{
    size_t n = strlen(rest);
    bool is_unset = n >= sizeof unset_word && strcmp(rest + n - (sizeof unset_word - 1), unset_word) == 0;
    char *end = is_unset ? rest + n - (sizeof unset_word - 1) : find_last(rest, set_word), *key;

    if (!end)
        return NULL;
    *ret_text = is_unset ? NULL : end + sizeof set_word - 1;
    *end = '\0';
    key = strrchr(rest, ' ');
    if (!key)
        return NULL;
    *key = '\0';
    return config_quota_key(key + 1);
}

// Notes that KEY of SUBJECT was set to TEXT at AT; TEXT NULL: unset.
static void take_time(struct config *c, const char *subject, enum config_quota_key key, const char *text, uint64_t at,
                      uint64_t file_time)
{
    struct config_subject *s;
    struct config_value *v;
    bool is_new, is_missing;

    if (config_resolve_subject(c, subject, &s, &is_new, &is_missing) < 0)
        return;
    v = &s->values[CONFIG_RUNTIME][key];
    if (v->kind == CONFIG_UNSET) // and if it is not said to be, somebody has removed it
        config_note_unset(c, s, key, text ? file_time : at);
    else if (text && strcmp(v->text, text) == 0)
        v->set_at = at;
    if (is_new)
        config_subject_free(s);
    note_change(c, at);
}

void config_read_time(struct config *c, const char *comment, uint64_t file_time)
{
    const char *rest = NULL;
    uint64_t at = parse_time(comment, &rest);
    _cleanup_free_ char *copy = at ? strdup(rest) : NULL;
    char *text = NULL;
    const struct config_key *key = copy ? take_apart(copy, &text) : NULL;

    if (key)
        take_time(c, copy, (enum config_quota_key)(key - config_quota_keys), text, at, file_time);
}

void config_complete_times(struct config *c, uint64_t file_time)
{
    for (size_t i = 0; i < c->n_subjects; i++)
        for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++) {
            struct config_value *v = &c->subjects[i]->values[CONFIG_RUNTIME][key];

            if (v->kind == CONFIG_UNSET)
                continue;
            if (v->set_at == 0)
                v->set_at = file_time;
            note_change(c, v->set_at);
        }
}
