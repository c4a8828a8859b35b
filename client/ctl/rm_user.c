// `diskallocctl rm --user USER`: removes all regions of a user, such as one who is not in the user database any more.
#include "client/ctl/rm_user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/subject.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"
#include "proto/util/name.h"

struct removal {
    struct handle *handles; // n of them
    size_t n, n_room;
    bool failed; // memory has run out
    size_t n_removed, n_attached;
};

static void add(struct removal *m, const ProtobufCBinaryData *handle)
{
    if (m->n == m->n_room) {
        size_t n = m->n_room ? 2 * m->n_room : 64;
        struct handle *handles = reallocarray(m->handles, n, sizeof(*handles));

        if (!handles) {
            m->failed = true;
            return;
        }
        m->handles = handles;
        m->n_room = n;
    }
    memcpy(m->handles[m->n++].bytes, handle->data, sizeof(m->handles->bytes));
}

// Regions without a name that nobody has attached go by themselves, and so do those that have lost their names.
static ProtobufCBinaryData *add_page(struct list *l, const Diskalloc__V1__Reply *reply)
{
    for (size_t i = 0; i < reply->region_list->n_regions; i++) {
        const Diskalloc__V1__Region *r = reply->region_list->regions[i];

        if (!r->orphaned && !r->unlinked && r->handle.len == sizeof(((struct handle *)NULL)->bytes))
            add(l->data, &r->handle);
    }
    return &reply->region_list->next_cursor;
}

// A region that is gone already is removed.  An exit status: EXIT_DONE also for a region that is attached.
static int remove_one(struct ctl *ctl, const struct handle *h, struct removal *m)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__RemoveRegion remove = DISKALLOC__V1__REMOVE_REGION__INIT;
    Diskalloc__V1__Reply *reply;
    int status;

    remove.handle = field_handle(h);
    remove.force = ctl->force;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_REMOVE_REGION;
    request.remove_region = &remove;
    status = ctl_ask(ctl, &request, &reply);
    if (status != EXIT_DONE)
        return status;
    if (!reply->error || reply->error->code == DISKALLOC__V1__ERROR_CODE__NOT_FOUND) {
        m->n_removed++;
    } else if (reply->error->code == DISKALLOC__V1__ERROR_CODE__BUSY) {
        m->n_attached++;
    } else {
        ctl_complain_of_error(NULL, reply->error);
        status = EXIT_REFUSED;
    }
    session_free_reply(reply);
    return status;
}

static int tell(const struct ctl *ctl, const struct removal *m)
{
    if (m->n_attached > 0)
        ctl_complain(
            "%zu regions are attached, and stay; with --force they are removed all the same, and their holders "
            "keep their memory",
            m->n_attached);
    if (ctl->json)
        ctl_print_json(json_pack("{so, so, so, sb}", "user", text_json_bytes(ctl->user, strlen(ctl->user)), "removed",
                                 text_json_number(m->n_removed), "attached", text_json_number(m->n_attached), "force",
                                 ctl->force));
    else
        printf("%zu %s removed\n", m->n_removed, m->n_removed == 1 ? "region" : "regions");
    return m->n_attached > 0 ? EXIT_REFUSED : EXIT_DONE;
}

// There was nothing to remove, which is no success if there is no such user, or if the caller may not see the regions.
static int check_user(struct ctl *ctl)
{
    _cleanup_free_ char *subject = NULL;
    Diskalloc__V1__Reply *reply;
    int status = EXIT_REFUSED;

    if (asprintf(&subject, "user:%s", ctl->user) < 0) {
        subject = NULL;
        ctl_complain("out of memory");
        return status;
    }
    reply = subject_ask(ctl, subject, &status);
    session_free_reply(reply);
    return reply ? EXIT_DONE : status;
}

int rm_user_run(struct ctl *ctl)
{
    static const struct list_kind kind = {NULL, NULL, 0, query_regions, add_page};
    struct removal m = {0};
    int status = list_fetch(ctl, &kind, &m);

    if (status == EXIT_DONE && m.failed) {
        ctl_complain("out of memory");
        status = EXIT_REFUSED;
    }
    if (status == EXIT_DONE && m.n == 0)
        status = check_user(ctl);
    for (size_t i = 0; status == EXIT_DONE && i < m.n; i++)
        status = remove_one(ctl, &m.handles[i], &m);
    if (status == EXIT_DONE)
        status = tell(ctl, &m);
    free(m.handles);
    return status;
}
