// `diskallocctl quota set` and `quota unset`: sends a change of quotas to the daemon.
//
// The daemon knows the subjects, the keys and the values, and answers a wrong one with a sentence.  So nothing of
// that is checked here: this file only takes KEY=VALUE apart.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"

static const char *escaped(const char *text, char ret[static TEXT_MAX])
{
    return text_escape(text, strlen(text), ret);
}

// Cuts ARGUMENT, "KEY=VALUE", in two.
static bool parse_setting(char *argument, Diskalloc__V1__QuotaSetting *ret)
{
    char *equals = strchr(argument, '='), text[TEXT_MAX];

    if (!equals) {
        ctl_complain("%s is not KEY=VALUE", escaped(argument, text));
        return false;
    }
    *equals = '\0';
    diskalloc__v1__quota_setting__init(ret);
    ret->key = field_text(argument);
    ret->text = field_text(equals + 1);
    return true;
}

// Sends REQUEST.  A change that the daemon calls invalid is wrong usage, as it would be if it had been found here.
static int change(struct ctl *ctl, Diskalloc__V1__Request *request)
{
    Diskalloc__V1__Reply *reply;
    int status = ctl_ask(ctl, request, &reply);

    if (status != EXIT_DONE)
        return status;
    if (reply->error) {
        ctl_complain_of_error(NULL, reply->error);
        status = reply->error->code == DISKALLOC__V1__ERROR_CODE__INVALID ? EXIT_USAGE : EXIT_REFUSED;
    }
    session_free_reply(reply);
    return status;
}

// The daemon accepts the name of a user or group that does not exist (yet), and warns in its log.  Warn here as well,
// as far as this machine knows its users.
static void warn_of_unknown_name(const char *subject)
{
    const char *colon = strchr(subject, ':');
    bool is_user = *subject == 'u';
    char text[TEXT_MAX];
    id_t id;

    if (strncmp(subject, "cgroup:", strlen("cgroup:")) == 0)
        return;
    if (colon && (is_user ? nss_find_user : nss_find_group)(colon + 1, &id) == -ENOENT)
        ctl_complain("%s was set, but there is no such %s", escaped(subject, text), is_user ? "user" : "group");
}

static int print_set(const Diskalloc__V1__SetQuota *set)
{
    json_t *settings = json_object();

    for (size_t i = 0; i < set->n_settings; i++)
        json_object_set_new(settings, (const char *)set->settings[i]->key.data,
                            text_json_bytes(set->settings[i]->text.data, set->settings[i]->text.len));
    return ctl_print_json(
        json_pack("{so, so}", "subject", text_json_bytes(set->subject.data, set->subject.len), "set", settings));
}

static int set(struct ctl *ctl, Diskalloc__V1__QuotaSetting **settings, size_t n)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__SetQuota set = DISKALLOC__V1__SET_QUOTA__INIT;
    int status;

    set.subject = field_text(ctl->args[0]);
    set.settings = settings;
    set.n_settings = n;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_SET_QUOTA;
    request.set_quota = &set;
    status = change(ctl, &request);
    if (status != EXIT_DONE)
        return status;
    warn_of_unknown_name(ctl->args[0]);
    return ctl->json ? print_set(&set) : EXIT_DONE;
}

int quota_set_run(struct ctl *ctl)
{
    size_t n = (size_t)ctl->n_args - 1;
    _cleanup_free_ Diskalloc__V1__QuotaSetting *settings = calloc(n, sizeof(*settings));
    _cleanup_free_ Diskalloc__V1__QuotaSetting **pointers = calloc(n, sizeof(*pointers));

    if (!settings || !pointers) {
        ctl_complain("there is no memory");
        return EXIT_REFUSED;
    }
    for (size_t i = 0; i < n; i++) {
        pointers[i] = &settings[i];
        if (!parse_setting(ctl->args[i + 1], &settings[i]))
            return EXIT_USAGE;
    }
    return set(ctl, pointers, n);
}

static int print_unset(const struct ctl *ctl)
{
    json_t *names = ctl->n_args > 1 ? json_array() : json_null();

    for (int i = 1; i < ctl->n_args; i++)
        json_array_append_new(names, json_string(ctl->args[i]));
    return ctl_print_json(
        json_pack("{so, so}", "subject", text_json_bytes(ctl->args[0], strlen(ctl->args[0])), "unset", names));
}

// Whether something that `quota unset` would take back is set: looks for it in the list of quotas.
struct search {
    const char *subject;
    bool found;
};

static ProtobufCBinaryData *look_at_page(struct list *l, const Diskalloc__V1__Reply *reply)
{
    struct search *s = l->data;

    for (size_t i = 0; i < reply->quota_list->n_entries; i++) {
        const Diskalloc__V1__QuotaEntry *e = reply->quota_list->entries[i];

        if (e->subject.len != strlen(s->subject) || memcmp(e->subject.data, s->subject, e->subject.len) != 0)
            continue;
        for (size_t k = 0; k < e->n_values; k++)
            s->found |= query_is_set_at_run_time(e->values[k]);
    }
    return &reply->quota_list->next_cursor;
}

// Unsetting what is not set is done, and may be a mistake in the subject: people are told.  A control group has another
// name in the list than systemd's name of the slice.
static void remark_on_nothing(struct ctl *ctl)
{
    static const struct list_kind kind = {NULL, NULL, 0, query_quotas, look_at_page};
    struct search s = {.subject = ctl->args[0]};
    char text[TEXT_MAX];

    if (strncmp(s.subject, "cgroup:", strlen("cgroup:")) == 0)
        return;
    if (list_fetch(ctl, &kind, &s) == EXIT_DONE && !s.found)
        printf("Nothing was set at run time for %s: its limits are those of the configuration.\n",
               escaped(s.subject, text));
}

int quota_unset_run(struct ctl *ctl)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__UnsetQuota unset = DISKALLOC__V1__UNSET_QUOTA__INIT;
    size_t n = (size_t)ctl->n_args - 1;
    _cleanup_free_ ProtobufCBinaryData *names = calloc(n + 1, sizeof(*names));
    int status;

    if (!names) {
        ctl_complain("there is no memory");
        return EXIT_REFUSED;
    }
    for (size_t i = 0; i < n; i++)
        names[i] = field_text(ctl->args[i + 1]);
    unset.subject = field_text(ctl->args[0]);
    unset.keys = names;
    unset.n_keys = n;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_UNSET_QUOTA;
    request.unset_quota = &unset;
    if (ctl->human && !ctl->json)
        remark_on_nothing(ctl);
    status = change(ctl, &request);
    return status == EXIT_DONE && ctl->json ? print_unset(ctl) : status;
}
