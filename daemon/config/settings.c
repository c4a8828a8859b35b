// Changes of the configuration while the daemon runs: see settings.h.  The changes wait in a list, and the first one
// is at work: a worker reads or writes files (run_reload, run_quota), then the loop makes the change true
// (change_done) and starts the next one.
#include "daemon/config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config/config_internal.h"
#include "daemon/config/load.h"
#include "daemon/config/since_start.h"
#include "daemon/config/subjects.h"
#include "daemon/log.h"
#include "daemon/names.h"
#include "daemon/store/small_file.h"
#include "daemon/store/store.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

struct settings {
    struct worker_pool *pool;
    struct store *store;
    struct settings_source source;
    struct config *config;
    struct since_start since_start;
    void (*changed)(void *data);
    void *data;
    bool is_ahead;   // the quotas that hold are not all in their file: of the change that is being made
    bool calls_done; // a change has ended, and its submitter, who is told, may submit another one
    TAILQ_HEAD(, settings_change) changes; // the first one is being made
};

static void warn(void *data, const char *sentence)
{
    (void)data;
    log_warning("%s", sentence);
}

int settings_new(struct worker_pool *pool, struct store *store, const struct settings_source *source,
                 struct config *config, void (*changed)(void *data), void *data, struct settings **ret)
{
    struct settings *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    *s = (struct settings){
        .pool = pool, .store = store, .source = *source, .config = config, .changed = changed, .data = data};
    TAILQ_INIT(&s->changes);
    if (since_start_init(&s->since_start, config) < 0) {
        free(s);
        return -ENOMEM;
    }
    *ret = s;
    return 0;
}

void settings_free(struct settings *s)
{
    struct settings_change *change;

    if (!s)
        return;
    while ((change = TAILQ_FIRST(&s->changes))) {
        TAILQ_REMOVE(&s->changes, change, entry);
        change->result = -ESHUTDOWN;
        change->done(change);
    }
    config_free(s->config);
    since_start_deinit(&s->since_start);
    free(s);
}

const struct config *settings_config(const struct settings *s)
{
    return s->config;
}

// A spill directory that was moved without its hidden files has lost the quotas that were set: the log shows it.
static void tell_runtime(const struct settings *s)
{
    const struct config *c = s->config;
    unsigned n = 0;

    for (size_t i = 0; i < c->n_subjects; i++) {
        bool has = false;

        for (size_t key = 0; key < CONFIG_QUOTA_KEY_N; key++)
            has |= c->subjects[i]->values[CONFIG_RUNTIME][key].kind != CONFIG_UNSET;
        n += has;
    }
    if (n > 0)
        log_notice("quotas set by diskallocctl: of %u subjects, read from %s/%s", n, store_dir(s->store),
                   CONFIG_RUNTIME_FILE);
    else
        log_notice("quotas set by diskallocctl: none in %s/%s", store_dir(s->store), CONFIG_RUNTIME_FILE);
}

int settings_load_runtime(struct settings *s)
{
    _cleanup_free_ char *error = NULL;
    int r = config_load_runtime(s->config, store_dir_fd(s->store), store_dir(s->store), warn, NULL, &error);

    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    else
        tell_runtime(s);
    return r;
}

// Lowering a limit may be what a full disk needs.
static int write_runtime(struct settings *s, const char *text)
{
    int r = small_file_write(store_dir_fd(s->store), CONFIG_RUNTIME_FILE, text);

    if (r == -ENOSPC || r == -EDQUOT) {
        store_free_reserve(s->store);
        r = small_file_write(store_dir_fd(s->store), CONFIG_RUNTIME_FILE, text);
        store_make_reserve(s->store);
    }
    if (r == 1)
        log_warning("the new quotas hold, but may be lost if the power fails now: the disk reports an error");
    if (r >= 0)
        s->is_ahead = false;
    return r < 0 ? r : 0;
}

static int write_layer(struct settings *s, const struct config *c)
{
    _cleanup_free_ char *text = config_render_runtime(c, NULL);
    int r = text ? write_runtime(s, text) : -ENOMEM;

    if (r < 0)
        log_error("%s/%s cannot be written: %s", store_dir(s->store), CONFIG_RUNTIME_FILE, strerror(-r));
    s->is_ahead = r < 0;
    return r;
}

static void tell_bad_copy(const char *error, int r)
{
    log_error("%s; the quotas that were set there do not hold until that is mended and the daemon is told to reload",
              error ? error : strerror(-r));
}

static void put_aside(const struct settings *s, struct store *from)
{
    if (small_file_put_aside(store_dir_fd(from), CONFIG_RUNTIME_FILE) == 0)
        log_notice("%s/%s is not used any more, and was renamed to %s.old: the first spill directory is %s",
                   store_dir(from), CONFIG_RUNTIME_FILE, CONFIG_RUNTIME_FILE, store_dir(s->store));
}

// Values that are taken over into C hold even if they cannot be written, also after a reload (take_unwritten); then the
// file of FROM stays for the next start.
static int merge_runtime(struct settings *s, struct config *c, struct store *from)
{
    const char *dir = store_dir(from);
    _cleanup_free_ char *error = NULL;
    unsigned n;
    int r = config_merge_runtime(c, store_dir_fd(from), dir, warn, NULL, &n, &error);

    if (r < 0) {
        tell_bad_copy(error, r);
        return r;
    }
    if (n > 0) {
        log_notice("quotas set by diskallocctl: %u were set or unset last in %s/%s, and hold", n, dir,
                   CONFIG_RUNTIME_FILE);
        s->is_ahead = true;
    }
    if (!s->is_ahead || write_layer(s, c) == 0)
        put_aside(s, from);
    return 0;
}

int settings_merge_runtime(struct settings *s, struct store *from)
{
    return merge_runtime(s, s->config, from);
}

// For config_find_names_again.
static int find_last_answer(void *data, bool is_user, const char *name, uint32_t *ret)
{
    return names_find(data, is_user, name, ret);
}

// Has the names of the present configuration looked up from time to time, and no others.
static void keep_names(struct settings *s)
{
    struct names *n = s->source.names;

    names_keep_begin(n);
    names_keep(n, false, s->config->admin_group, config_is_default_admin_group(s->config->admin_group));
    for (size_t i = 0; i < s->config->n_subjects; i++) {
        const struct config_subject *subject = s->config->subjects[i];

        if (config_is_of_user_database(subject->kind))
            names_keep(n, subject->kind == CONFIG_USER, subject->name, false);
    }
    names_keep_end(n);
}

// True: the configuration has changed.
static bool find_names_again(struct settings *s)
{
    const struct config_resolver last_answers = {.find = find_last_answer, .data = s->source.names};

    return config_find_names_again(s->config, &last_answers);
}

void settings_names_changed(struct settings *s)
{
    // A worker that makes a change reads the configuration: change_done looks again.
    if (TAILQ_EMPTY(&s->changes) && find_names_again(s))
        s->changed(s->data);
}

void settings_have_changed(struct settings *s)
{
    s->changed(s->data);
}

void settings_start(struct settings *s)
{
    keep_names(s);
    s->changed(s->data);
}

// An administrator who sets a limit means the user who has that name now.
static void ask_anew(struct settings *s, const char *subject)
{
    enum config_subject_kind kind;
    const char *name;
    uint32_t id;

    if (config_parse_subject(subject, &kind, &name) == 0 && config_is_of_user_database(kind))
        names_ask(s->source.names, kind == CONFIG_USER, name, &id);
}

static enum work_status run_quota(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;
    _cleanup_free_ char *text = NULL;
    int r;

    ask_anew(s, change->subject);
    r = config_change_prepare(&change->quota, s->config, change->subject, (const char *const *)change->keys,
                              (const char *const *)change->texts, change->n, warn, NULL, &change->error);

    if (r == 0) {
        text = config_render_runtime(s->config, &change->quota);
        r = text ? write_runtime(s, text) : -ENOMEM;
    }
    change->result = r;
    return WORK_DONE;
}

// The first disk is lost, with the file of the quotas that were set at run time: they stay as they are.
static int keep_runtime(struct settings *s, struct settings_change *change)
{
    _cleanup_free_ char *text = config_render_runtime(s->config, NULL);
    int r;

    log_error("%s; the quotas set by diskallocctl stay as they are", change->error ? change->error : "out of memory");
    free(steal(&change->error));
    config_free(steal(&change->loaded)); // a part of the file may have been read
    r = text ? settings_load(&s->source, &change->loaded, &change->error) : -ENOMEM;
    return r == 0 ? config_parse_runtime(change->loaded, text, &change->error) : r;
}

// C has what the file says.  The quotas that could not be written there hold as well, and may be written now.
static int take_unwritten(struct settings *s, struct config *c)
{
    unsigned n = 0;
    int r = config_take_later(c, s->config, &n);

    if (r == 0)
        write_layer(s, c); // a failure is logged
    return r;
}

static enum work_status run_reload(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;
    int r = settings_load(&s->source, &change->loaded, &change->error);

    if (r == 0) {
        r = config_load_runtime(change->loaded, store_dir_fd(s->store), store_dir(s->store), warn, NULL,
                                &change->error);
        if (r < 0 && r != -EINVAL && r != -ENOMEM)
            r = keep_runtime(s, change);
    }
    if (r == 0 && s->is_ahead)
        r = take_unwritten(s, change->loaded);
    if (r == 0 && change->from)
        change->merge_result = merge_runtime(s, change->loaded, change->from);
    change->result = r;
    return WORK_DONE;
}

// As a rule a disk that was added has no such file, or nothing in it that was set later.  Then nothing is read again.
static enum work_status run_merge(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;
    _cleanup_free_ char *error = NULL;
    bool has_later;
    int r = config_has_later(s->config, store_dir_fd(change->from), store_dir(change->from), &has_later, &error);

    change->merge_result = r;
    if (r < 0)
        tell_bad_copy(error, r);
    else if (has_later || s->is_ahead)
        return run_reload(w);
    else
        put_aside(s, change->from);
    return WORK_DONE;
}

static void start_first(struct settings *s);

static void change_done(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;
    bool is_new = change->result == 0 && (change->subject || change->loaded);

    if (change->result == 0 && change->subject) {
        config_change_describe(&change->quota, &change->before, &change->after);
        config_change_apply(&change->quota);
    } else if (is_new) {
        struct config *old = s->config;

        since_start_warn(&s->since_start, change->loaded);
        s->config = change->loaded;
        change->loaded = old;
    }
    if (is_new)
        keep_names(s);
    if (find_names_again(s) || is_new)
        s->changed(s->data);
    config_free(change->loaded);
    change->loaded = NULL;
    TAILQ_REMOVE(&s->changes, change, entry);
    s->calls_done = true;
    change->done(change);
    s->calls_done = false;
    start_first(s);
}

static void start_first(struct settings *s)
{
    struct settings_change *change = TAILQ_FIRST(&s->changes);

    if (!change)
        return;
    change->work = (struct work){.lane = WORK_LANE_DAEMON, .brief = true, .done = change_done};
    change->work.run = change->subject ? run_quota : change->from ? run_merge : run_reload;
    change->result = change->subject ? config_make_room(s->config) : 0;
    if (change->result == 0)
        worker_submit(s->pool, &change->work);
    else
        change_done(&change->work);
}

void settings_submit(struct settings *s, struct settings_change *change)
{
    bool first = TAILQ_EMPTY(&s->changes) && !s->calls_done; // change_done starts the next one

    change->settings = s;
    TAILQ_INSERT_TAIL(&s->changes, change, entry);
    if (first)
        start_first(s);
}

void settings_change_free(struct settings_change *change)
{
    for (size_t i = 0; i < change->n; i++) {
        free(change->keys ? change->keys[i] : NULL);
        free(change->texts ? change->texts[i] : NULL);
    }
    free(change->keys);
    free(change->texts);
    free(change->subject);
    free(change->error);
    free(change->before);
    free(change->after);
    config_change_deinit(&change->quota);
    config_free(change->loaded);
    free(change);
}
