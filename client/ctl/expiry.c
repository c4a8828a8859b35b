// `diskallocctl set-expiry`: after how long a time without use a region is removed.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/target.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/duration.h"

// False after a complaint.
static bool parse_time(const char *text, uint64_t *ret)
{
    char shown[TEXT_MAX];
    int r;

    *ret = 0;
    if (strcmp(text, "never") == 0)
        return true;
    r = duration_parse(text, ret);
    text_escape(text, strlen(text), shown);
    if (r == -ERANGE || (r == 0 && *ret > UINT32_MAX))
        ctl_complain("%s is too long a time: use never", shown);
    else if (r < 0)
        ctl_complain("%s is no time: write 30min, 12h, 7d, or never", shown);
    else if (*ret == 0)
        ctl_complain("a region can't expire at once: remove it with rm, or write never");
    return r == 0 && *ret > 0 && *ret <= UINT32_MAX;
}

static int set(struct ctl *ctl, const struct target *t, uint64_t expires)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__SetExpiry set_expiry = DISKALLOC__V1__SET_EXPIRY__INIT;
    Diskalloc__V1__Reply *reply;
    int status = EXIT_DONE;

    set_expiry.name = field_text(t->name);
    set_expiry.user = field_text(t->user);
    set_expiry.expires = expires;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_SET_EXPIRY;
    request.set_expiry = &set_expiry;
    ctl->about = ctl->args[0];
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_REGION, &status);
    if (!reply)
        return status;
    if (ctl->json)
        status = ctl_print_json(json_pack("{so, so}", "region", text_json_bytes(ctl->args[0], strlen(ctl->args[0])),
                                          "expires_s", expires ? text_json_number(expires) : json_null()));
    session_free_reply(reply);
    return status;
}

int expiry_run(struct ctl *ctl)
{
    uint64_t expires;
    struct target t;
    bool parsed = target_parse(ctl->args[0], &t);
    int status = EXIT_USAGE;

    if (parsed && t.by_handle)
        ctl_complain("%s is a handle: only a region with a name can expire", ctl->args[0]);
    else if (parsed && parse_time(ctl->args[1], &expires))
        status = set(ctl, &t, expires);
    free(t.copy);
    return status;
}
