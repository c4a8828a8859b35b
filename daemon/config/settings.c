// Changes of the configuration while the daemon runs: see settings.h.  The changes wait in a list, and the first one is at work: a worker
// reads or writes files (run_reload, run_quota), then the loop makes the change true (change_done) and starts the next one.
#include "daemon/config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config/config_internal.h"
#include "daemon/log.h"
#include "daemon/store/store.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

struct settings {
    struct worker_pool *pool;
    struct store *store;
    struct settings_source source;
    struct config *config;
    void (*changed)(void *data);
    void *data;
    TAILQ_HEAD(, settings_change) changes; // the first one is being made
};

static void warn(void *data, const char *sentence)
{
    (void)data;
    log_warning("%s", sentence);
}

static bool override(char **key, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (!value)
        return true;
    if (!copy)
        return false;
    free(*key);
    *key = copy;
    return true;
}

int settings_load(const struct settings_source *source, struct config **ret, char **ret_error)
{
    struct config *c = NULL;
    int r = config_load(source->config, warn, NULL, &c, ret_error);

    if (r < 0)
        return r;
    if (!override(&c->socket, source->socket) || !override(&c->spill_dir, source->spill_dir)) {
        config_free(c);
        return -ENOMEM;
    }
    c->socket_was_set |= source->socket != NULL;
    *ret = c;
    return 0;
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
    free(s);
}

const struct config *settings_config(const struct settings *s)
{
    return s->config;
}

int settings_load_runtime(struct settings *s)
{
    _cleanup_free_ char *error = NULL;
    int r = config_load_runtime(s->config, store_dir_fd(s->store), store_dir(s->store), warn, NULL, &error);

    if (r < 0)
        log_error("%s", error ? error : strerror(-r));
    return r;
}

static enum work_status run_quota(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;
    _cleanup_free_ char *text = NULL;
    int r = config_change_prepare(&change->quota, s->config, change->subject, (const char *const *)change->keys,
                                  (const char *const *)change->texts, change->n, warn, NULL, &change->error);

    if (r == 0) {
        text = config_render_runtime(s->config, &change->quota);
        r = text ? config_write_runtime(store_dir_fd(s->store), text) : -ENOMEM;
    }
    change->result = r;
    return WORK_DONE;
}

static enum work_status run_reload(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;
    int r = settings_load(&s->source, &change->loaded, &change->error);

    if (r == 0)
        r = config_load_runtime(change->loaded, store_dir_fd(s->store), store_dir(s->store), warn, NULL,
                                &change->error);
    change->result = r;
    return WORK_DONE;
}

static void warn_of_what_needs_a_restart(const struct config *old, const struct config *new)
{
    if (strcmp(old->spill_dir, new->spill_dir) != 0 || strcmp(old->socket, new->socket) != 0)
        log_warning("another spill_dir or socket needs a restart: the present one is kept");
}

static void start_first(struct settings *s);

static void change_done(struct work *w)
{
    struct settings_change *change = container_of(w, struct settings_change, work);
    struct settings *s = change->settings;

    if (change->result == 0 && change->subject)
        config_change_apply(&change->quota);
    else if (change->result == 0) {
        struct config *old = s->config;

        warn_of_what_needs_a_restart(old, change->loaded);
        s->config = change->loaded;
        change->loaded = old;
    }
    if (change->result == 0)
        s->changed(s->data);
    config_free(change->loaded);
    change->loaded = NULL;
    TAILQ_REMOVE(&s->changes, change, entry);
    change->done(change);
    start_first(s);
}

static void start_first(struct settings *s)
{
    struct settings_change *change = TAILQ_FIRST(&s->changes);

    if (!change)
        return;
    change->work = (struct work){
        .lane = geteuid(), .brief = true, .run = change->subject ? run_quota : run_reload, .done = change_done};
    change->result = change->subject ? config_make_room(s->config) : 0;
    if (change->result == 0)
        worker_submit(s->pool, &change->work);
    else
        change_done(&change->work);
}

void settings_submit(struct settings *s, struct settings_change *change)
{
    bool first = TAILQ_EMPTY(&s->changes);

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
    config_change_deinit(&change->quota);
    config_free(change->loaded);
    free(change);
}
