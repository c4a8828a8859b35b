// What administrators do: see audit.h.
#include "daemon/request/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/user.h"
#include "proto/util/text.h"

enum {
    SUBJECT_SIZE = 512, // "USER/NAME" with the longest names
    STATE_SIZE = 320,   // of before and after
};

struct audit {
    struct user *by; // a reference
    pid_t pid;
    char client_name[CLIENT_NAME_MAX + 1];
    const char *action; // a constant
    char subject[SUBJECT_SIZE];
    bool has_region, has_user;
    uid_t uid; // the region's owner, if HAS_USER
    struct handle handle;
    char before[STATE_SIZE], after[STATE_SIZE];
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

static void write_text(char *ret, size_t n, const char *format, va_list args)
{
    int length = vsnprintf(ret, n, format, args);

    if (length >= (int)n)
        ret[utf8_cut(ret, n - 1)] = '\0';
}

void audit_subject(struct audit *a, const char *format, ...)
{
    va_list args;

    if (!a)
        return;
    va_start(args, format);
    write_text(a->subject, sizeof a->subject, format, args);
    va_end(args);
}

void audit_region(struct audit *a, const struct region *r)
{
    char handle[HANDLE_TEXT_LENGTH + 1];

    if (!a)
        return;
    handle_format(&r->record.handle, handle);
    audit_subject(a, "%s/%.*s", user_name(r->owner),
                  r->record.name_length ? (int)r->record.name_length : (int)strlen(handle),
                  r->record.name_length ? r->record.name : handle);
    a->handle = r->record.handle;
    a->has_region = a->has_user = true;
    a->uid = r->record.owner_uid;
}

void audit_before(struct audit *a, const char *format, ...)
{
    va_list args;

    if (!a)
        return;
    va_start(args, format);
    write_text(a->before, sizeof a->before, format, args);
    va_end(args);
}

void audit_after(struct audit *a, const char *format, ...)
{
    va_list args;

    if (!a)
        return;
    va_start(args, format);
    write_text(a->after, sizeof a->after, format, args);
    va_end(args);
}

static void report(const struct audit *a, struct reports *reports, enum report_kind kind)
{
    char text[SUBJECT_SIZE + 2 * STATE_SIZE + 256];
    struct report r = {
        .kind = kind,
        .has_user = a->has_user,
        .uid = a->uid,
        .pid = a->pid,
        .client_name = a->client_name,
        .handle = a->has_region ? &a->handle : NULL,
        .text = text,
    };

    snprintf(text, sizeof text, "%s: %s %s%s%s%s%s", user_name(a->by), a->action, a->subject,
             *a->before ? "; before: " : "", a->before, *a->after ? "; after: " : "", a->after);
    reports_publish(reports, &r);
}

void audit_done(const struct audit *a, struct reports *reports, enum report_kind kind)
{
    char handle[HANDLE_TEXT_LENGTH + 1];

    if (!a)
        return;
    handle_format(&a->handle, handle);
    const struct log_fields fields = {
        .message_id = LOG_ID_ADMINISTERED,
        .has_user = a->has_user,
        .uid = a->uid,
        .handle = a->has_region ? handle : NULL,
        .action = a->action,
        .by_uid = a->by->uid,
        .by_pid = a->pid,
        .subject = a->subject,
        .before = a->before,
        .after = a->after,
    };

    log_with(LOG_LEVEL_NOTICE, &fields, "%s (uid %u, pid %d, %s): %s %s%s%s%s%s", user_name(a->by),
             (unsigned)a->by->uid, (int)a->pid, *a->client_name ? a->client_name : "a program without a name",
             a->action, a->subject, *a->before ? "; before: " : "", a->before, *a->after ? "; after: " : "", a->after);
    report(a, reports, kind);
}
