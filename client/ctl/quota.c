// `diskallocctl quota set` and `quota unset`
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"
#include "proto/util/size.h"

static const struct {
    const char *name;
    bool is_count;
} keys[] = {{"bytes", false}, {"regions", true}, {"connections", true}, {"region_bytes", false}, {"warn_at", false}};

static const char *escaped(const char *text, char ret[static TEXT_MAX])
{
    return text_escape(text, strlen(text), ret);
}

// The name behind the colon; "" for total and default; NULL: it is no subject.
static const char *name_of(const char *subject)
{
    static const char *const prefixes[] = {"user:", "members:", "group:"};

    if (strcmp(subject, "total") == 0 || strcmp(subject, "default") == 0)
        return "";
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(subject, prefixes[i], strlen(prefixes[i])) == 0 && subject[strlen(prefixes[i])])
            return subject + strlen(prefixes[i]);
    return NULL;
}

static bool check_subject(const char *subject)
{
    char text[TEXT_MAX];

    if (name_of(subject))
        return true;
    ctl_complain("%s is no subject of a quota: total, default, user:NAME, members:GROUP or group:GROUP",
                 escaped(subject, text));
    return false;
}

// The index of the key of N bytes at NAME; -1, and it was said.
static int find_key(const char *name, size_t n)
{
    char text[TEXT_MAX];

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strlen(keys[i].name) == n && memcmp(keys[i].name, name, n) == 0)
            return (int)i;
    ctl_complain("%s is no key of a quota: bytes, regions, connections, region_bytes or warn_at",
                 text_escape(name, n, text));
    return -1;
}

static bool is_percentage(const char *value)
{
    char *end;
    unsigned long percent = strtoul(value, &end, 10);

    return *value >= '0' && *value <= '9' && percent <= 100 && strcmp(end, "%") == 0;
}

static bool is_value(const char *value, bool is_count)
{
    uint64_t number;

    if (strcmp(value, "unlimited") == 0)
        return true;
    if (is_count)
        return strspn(value, "0123456789") == strlen(value) && size_parse(value, &number) == 0;
    return is_percentage(value) || size_parse(value, &number) == 0;
}

static bool check_value(const char *key, const char *value, bool is_count)
{
    char text[TEXT_MAX];

    if (is_value(value, is_count))
        return true;
    ctl_complain("%s=%s: it has to be %s or unlimited", key, escaped(value, text),
                 is_count ? "a whole number" : "a whole number of bytes, or of K, M, G or T, or N% up to 100%,");
    return false;
}

static bool parse_setting(const char *argument, Diskalloc__V1__QuotaSetting *ret)
{
    const char *equals = strchr(argument, '=');
    char text[TEXT_MAX];
    int key;

    if (!equals) {
        ctl_complain("%s is no KEY=VALUE", escaped(argument, text));
        return false;
    }
    key = find_key(argument, (size_t)(equals - argument));
    if (key < 0 || !check_value(keys[key].name, equals + 1, keys[key].is_count))
        return false;
    diskalloc__v1__quota_setting__init(ret);
    ret->key = field_text(keys[key].name);
    ret->text = field_text(equals + 1);
    return true;
}

static bool key_is_among(const ProtobufCBinaryData *key, Diskalloc__V1__QuotaSetting *const *settings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (settings[i]->key.data == key->data)
            return true;
    return false;
}

static bool parse_settings(struct ctl *ctl, Diskalloc__V1__QuotaSetting *settings,
                           Diskalloc__V1__QuotaSetting **pointers)
{
    for (size_t i = 0; i < (size_t)ctl->n_args - 1; i++) {
        pointers[i] = &settings[i];
        if (!parse_setting(ctl->args[i + 1], &settings[i]))
            return false;
        if (!key_is_among(&settings[i].key, pointers, i))
            continue;
        ctl_complain("%.*s is there twice", (int)settings[i].key.len, (const char *)settings[i].key.data);
        return false;
    }
    return true;
}

// What the daemon accepts and its log warns of is worth a word here too: as this machine knows its users.
static void warn_of_unknown_name(const char *subject)
{
    const char *name = name_of(subject);
    bool is_user = *subject == 'u';
    char text[TEXT_MAX];
    id_t id;

    if (*name && (is_user ? nss_find_user : nss_find_group)(name, &id) == -ENOENT)
        ctl_complain("%s was set, but there is no such %s", escaped(subject, text), is_user ? "user" : "group");
}

static int print_set(const struct ctl *ctl, const Diskalloc__V1__SetQuota *set)
{
    json_t *settings = json_object();

    if (!ctl->json) {
        json_decref(settings);
        return EXIT_DONE;
    }
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
    Diskalloc__V1__Reply *reply;
    int status;

    set.subject = field_text(ctl->args[0]);
    set.settings = settings;
    set.n_settings = n;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_SET_QUOTA;
    request.set_quota = &set;
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY__NOT_SET, &status);
    if (!reply)
        return status;
    session_free_reply(reply);
    warn_of_unknown_name(ctl->args[0]);
    return print_set(ctl, &set);
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
    if (!check_subject(ctl->args[0]) || !parse_settings(ctl, settings, pointers))
        return EXIT_USAGE;
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

static int unset(struct ctl *ctl, ProtobufCBinaryData *names, size_t n)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__UnsetQuota unset = DISKALLOC__V1__UNSET_QUOTA__INIT;
    Diskalloc__V1__Reply *reply;
    int status;

    unset.subject = field_text(ctl->args[0]);
    unset.keys = names;
    unset.n_keys = n;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_UNSET_QUOTA;
    request.unset_quota = &unset;
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY__NOT_SET, &status);
    if (!reply)
        return status;
    session_free_reply(reply);
    return ctl->json ? print_unset(ctl) : EXIT_DONE;
}

int quota_unset_run(struct ctl *ctl)
{
    size_t n = (size_t)ctl->n_args - 1;
    _cleanup_free_ ProtobufCBinaryData *names = calloc(n + 1, sizeof(*names));

    if (!names) {
        ctl_complain("there is no memory");
        return EXIT_REFUSED;
    }
    if (!check_subject(ctl->args[0]))
        return EXIT_USAGE;
    for (size_t i = 0; i < n; i++) {
        names[i] = field_text(ctl->args[i + 1]);
        if (find_key(ctl->args[i + 1], names[i].len) < 0)
            return EXIT_USAGE;
    }
    return unset(ctl, names, n);
}
