// Asking for the account of a subject: see subject.h.
#include "client/ctl/subject.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/nss.h"

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool subject_check(const char *subject)
{
    char text[TEXT_MAX];

    text_escape(subject, strlen(subject), text);
    if (strcmp(subject, "total") == 0 || strcmp(subject, "unlisted") == 0 || begins_with(subject, "user:") ||
        begins_with(subject, "group:") || begins_with(subject, "cgroup:"))
        return true;
    if (strcmp(subject, "default") == 0 || begins_with(subject, "members:"))
        ctl_complain("%s has limits for each of several users, and no usage of its own; see quota list", text);
    else if (*subject && !strchr(subject, ':'))
        ctl_complain("%s is no subject: say user:%s for a user, or group:%s for the members of a group together", text,
                     text, text);
    else
        ctl_complain("%s is no subject: it is total, unlisted, user:NAME, group:NAME or cgroup:PATH", text);
    return false;
}

static int ask(struct ctl *ctl, const char *subject, Diskalloc__V1__Reply **ret)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__GetUsage get = DISKALLOC__V1__GET_USAGE__INIT;

    get.subject = field_text(subject);
    request.body_case = DISKALLOC__V1__REQUEST__BODY_GET_USAGE;
    request.get_usage = &get;
    return ctl_ask(ctl, &request, ret);
}

// A subject that the daemon does not know: SUBJECT is "group:NAME" or "cgroup:PATH", or a user whom nobody knows.
static void complain_of_unknown(const char *subject)
{
    const char *name = strchr(subject, ':') + 1;
    char text[TEXT_MAX];
    gid_t gid;

    text_escape(name, strlen(name), text);
    if (begins_with(subject, "user:"))
        ctl_complain("there is no user %s", text);
    else if (begins_with(subject, "cgroup:"))
        ctl_complain("no limit is set for cgroup:%s, so nothing is counted there; see quota set", text);
    else if (nss_find_group(name, &gid) == -ENOENT)
        ctl_complain("there is no group %s", text);
    else
        ctl_complain("no limit is set for group:%s, so nothing is counted there; see quota set", text);
}

// The daemon does not know NAME, and knows the user by the uid if there is one.
static int ask_by_uid(struct ctl *ctl, const char *name, Diskalloc__V1__Reply **ret)
{
    char subject[32];
    uid_t uid;

    if (nss_find_user(name, &uid) < 0)
        return EXIT_DONE;
    session_free_reply(*ret);
    *ret = NULL;
    snprintf(subject, sizeof(subject), "user:+%u", (unsigned)uid);
    return ask(ctl, subject, ret);
}

static bool is_unknown(const Diskalloc__V1__Reply *reply)
{
    return reply->error && reply->error->code == DISKALLOC__V1__ERROR_CODE__NOT_FOUND;
}

// A member may see a group's usage; of a group that is not counted there is none.
static bool is_uncounted_group(const Diskalloc__V1__Reply *reply, const char *subject)
{
    gid_t gid;

    return reply->error && reply->error->code == DISKALLOC__V1__ERROR_CODE__ACCESS && begins_with(subject, "group:") &&
           nss_find_group(subject + strlen("group:"), &gid) == 0 && group_member(gid);
}

Diskalloc__V1__Reply *subject_ask(struct ctl *ctl, const char *subject, int *ret_status)
{
    Diskalloc__V1__Reply *reply = NULL;

    *ret_status = ask(ctl, subject, &reply);
    if (*ret_status == EXIT_DONE && is_unknown(reply) && begins_with(subject, "user:"))
        *ret_status = ask_by_uid(ctl, subject + strlen("user:"), &reply);
    if (*ret_status != EXIT_DONE)
        return NULL;
    if (!reply->error && reply->body_case == DISKALLOC__V1__REPLY__BODY_USAGE)
        return reply;
    *ret_status = reply->error && reply->error->code == DISKALLOC__V1__ERROR_CODE__INVALID ? EXIT_USAGE : EXIT_REFUSED;
    if ((is_unknown(reply) && strchr(subject, ':')) || is_uncounted_group(reply, subject))
        complain_of_unknown(subject);
    else if (reply->error)
        ctl_complain_of_error(NULL, reply->error);
    else
        ctl_complain("the daemon's answer does not fit the request");
    session_free_reply(reply);
    return NULL;
}
