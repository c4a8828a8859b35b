// `diskallocctl rm`: removes a region.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/rm_user.h"
#include "client/ctl/target.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"

static const char *user_name(uint32_t uid, char ret[static TEXT_MAX])
{
    _cleanup_free_ char *name = NULL;
    gid_t gid;

    if (nss_read_user(uid, &name, &gid) == 0)
        return text_escape(name, strlen(name), ret);
    snprintf(ret, TEXT_MAX, "+%u", uid);
    return ret;
}

// "alice (pid 5, sorter), bob (pid 7, reader)"
static char *holders_text(const Diskalloc__V1__Region *r)
{
    char *text = NULL, user[TEXT_MAX], program[TEXT_MAX];
    size_t n;
    FILE *stream = open_memstream(&text, &n);

    if (!stream)
        return NULL;
    for (size_t i = 0; i < r->n_holders; i++) {
        const Diskalloc__V1__Holder *h = r->holders[i];

        fprintf(stream, "%s%s (pid %u, %s)", i ? ", " : "", user_name(h->uid, user), h->pid,
                text_escape(h->client_name.data, h->client_name.len, program));
    }
    if (r->attachments > r->n_holders)
        fprintf(stream, "%s%zu more", r->n_holders ? ", " : "", r->attachments - r->n_holders);
    fclose(stream);
    return text;
}

// Complains of the refusal, and with --json prints the holders of a region that is attached.
static int refused(const struct ctl *ctl, const Diskalloc__V1__Reply *reply)
{
    const Diskalloc__V1__Region *r = reply->body_case == DISKALLOC__V1__REPLY__BODY_REGION ? reply->region : NULL;
    char argument[TEXT_MAX], handle[TEXT_MAX];
    _cleanup_free_ char *holders = r ? holders_text(r) : NULL;

    text_escape(ctl->args[0], strlen(ctl->args[0]), argument);
    if (reply->error->code == DISKALLOC__V1__ERROR_CODE__NOT_FOUND) {
        ctl_complain("there is no such region: %s; see diskallocctl regions", argument);
        return EXIT_REFUSED;
    }
    if (!r || reply->error->code != DISKALLOC__V1__ERROR_CODE__BUSY) {
        ctl_complain_of_error(argument, reply->error);
        return EXIT_REFUSED;
    }
    ctl_complain("%s is attached by %s; with --force it is removed all the same, and they keep their memory", argument,
                 holders && *holders ? holders : "somebody");
    if (ctl->json)
        ctl_print_json(json_pack("{so, ss, so}", "removed", json_null(), "handle",
                                 text_handle(r->handle.data, r->handle.len, handle), "holders", text_json_holders(r)));
    return EXIT_REFUSED;
}

static int print(const struct ctl *ctl)
{
    if (!ctl->json)
        return EXIT_DONE;
    return ctl_print_json(
        json_pack("{so, sb}", "removed", text_json_bytes(ctl->args[0], strlen(ctl->args[0])), "force", ctl->force));
}

static int remove_target(struct ctl *ctl, const struct target *t)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__RemoveRegion remove = DISKALLOC__V1__REMOVE_REGION__INIT;
    Diskalloc__V1__Reply *reply;
    int status;

    if (t->by_handle)
        remove.handle = field_handle(&t->handle);
    else {
        remove.name = field_text(t->name);
        remove.user = field_text(t->user);
    }
    remove.force = ctl->force;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_REMOVE_REGION;
    request.remove_region = &remove;
    status = ctl_ask(ctl, &request, &reply);
    if (status != EXIT_DONE)
        return status;
    status = reply->error ? refused(ctl, reply) : print(ctl);
    session_free_reply(reply);
    return status;
}

int rm_run(struct ctl *ctl)
{
    struct target t;
    int status = EXIT_USAGE;

    if ((ctl->n_args > 0) == (ctl->user != NULL)) {
        ctl_complain("rm takes the region to remove, or --user and all regions of that user are removed");
        return EXIT_USAGE;
    }
    if (ctl->user)
        return rm_user_run(ctl);
    if (target_parse(ctl->args[0], &t))
        status = remove_target(ctl, &t);
    free(t.copy);
    return status;
}
