// The log of what administrators do: see audit.h.
#include "daemon/request/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/user.h"
#include "proto/util/text.h"

enum {
    TEXT_SIZE = 512, // bytes: "USER/NAME" with the longest names
    SENTENCE_SIZE = AUDIT_PART_N * TEXT_SIZE + 64,
};

struct audit {
    struct user *by; // a reference
    pid_t pid;
    char client_name[CLIENT_NAME_MAX + 1];
    const char *action; // a constant
    char texts[AUDIT_PART_N][TEXT_SIZE];
    bool has_region, has_user;
    uid_t uid; // the region's owner, if HAS_USER
    struct handle handle;
};

struct audit *audit_new(const struct peer *peer, const char *action)
{
    struct audit *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->by = peer->user;
    a->by->n_refs++;
    a->pid = peer->holder.pid;
    memcpy(a->client_name, peer->client_name, sizeof a->client_name);
    a->action = action;
    return a;
}

void audit_free(struct audit *a)
{
    if (!a)
        return;
    user_unref(a->by);
    free(a);
}

void audit_say(struct audit *a, enum audit_part part, const char *format, ...)
{
    va_list args;
    int n;

    if (!a)
        return;
    va_start(args, format);
    n = vsnprintf(a->texts[part], TEXT_SIZE, format, args);
    va_end(args);
    if (n >= TEXT_SIZE)
        a->texts[part][utf8_cut(a->texts[part], TEXT_SIZE - 1)] = '\0';
}

void audit_region(struct audit *a, const struct region *r)
{
    char handle[HANDLE_TEXT_LENGTH + 1];

    if (!a)
        return;
    handle_format(&r->record.handle, handle);
    audit_say(a, AUDIT_SUBJECT, "%s/%.*s", user_name(r->owner),
              r->record.name_length ? (int)r->record.name_length : (int)strlen(handle),
              r->record.name_length ? r->record.name : handle);
    a->handle = r->record.handle;
    a->has_region = a->has_user = true;
    a->uid = r->record.owner_uid;
}

// "quota set user:alice; before: bytes=50G; after: bytes=500G"
static void describe(const struct audit *a, char ret[static SENTENCE_SIZE])
{
    const char *before = a->texts[AUDIT_BEFORE], *after = a->texts[AUDIT_AFTER];

    snprintf(ret, SENTENCE_SIZE, "%s %s%s%s%s%s", a->action, a->texts[AUDIT_SUBJECT], *before ? "; before: " : "",
             before, *after ? "; after: " : "", after);
}

static void report(const struct audit *a, struct reports *reports, enum report_kind kind, const char *sentence)
{
    char text[SENTENCE_SIZE + USER_NAME_MAX];
    struct report r = {
        .kind = kind,
        .has_user = a->has_user,
        .uid = a->uid,
        .pid = a->pid,
        .client_name = a->client_name,
        .handle = a->has_region ? &a->handle : NULL,
        .text = text,
    };

    snprintf(text, sizeof text, "%s: %s", user_name(a->by), sentence);
    reports_publish(reports, &r);
}

void audit_done(const struct audit *a, struct reports *reports, enum report_kind kind)
{
    char handle[HANDLE_TEXT_LENGTH + 1], sentence[SENTENCE_SIZE];

    if (!a)
        return;
    handle_format(&a->handle, handle);
    describe(a, sentence);
    const struct log_fields fields = {
        .message_id = LOG_ID_ADMINISTERED,
        .has_user = a->has_user,
        .uid = a->uid,
        .handle = a->has_region ? handle : NULL,
        .action = a->action,
        .by_uid = a->by->uid,
        .by_pid = a->pid,
        .subject = a->texts[AUDIT_SUBJECT],
        .before = a->texts[AUDIT_BEFORE],
        .after = a->texts[AUDIT_AFTER],
    };

    log_with(LOG_LEVEL_NOTICE, &fields, "%s (uid %u, pid %d, %s): %s", user_name(a->by), (unsigned)a->by->uid,
             (int)a->pid, *a->client_name ? a->client_name : "a program without a name", sentence);
    report(a, reports, kind, sentence);
}
