// `diskallocctl move`: a region moves to another disk of the daemon.
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/target.h"
#include "client/ctl/text.h"
#include "client/progress.h"
#include "proto/field.h"

enum { PATIENCE_SECONDS = 7 * 24 * 3600 }; // for an answer: a large region takes long

static void show_progress(void *data, const Diskalloc__V1__Event *e)
{
    struct progress *p = data;

    if (e->kind != DISKALLOC__V1__EVENT_KIND__EVENT_MOVE_PROGRESS)
        return;
    p->total = e->limit;
    progress_show(p, e->used);
}

// A directory's name as shells complete it, with a slash at its end.
static size_t length_without_slash(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

static int move(struct ctl *ctl, const struct target *t)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__MoveRegion m = DISKALLOC__V1__MOVE_REGION__INIT;
    Diskalloc__V1__Reply *reply;
    struct progress progress;
    int status;

    if (t->by_handle)
        m.handle = field_handle(&t->handle);
    else {
        m.name = field_text(t->name);
        m.user = field_text(t->user);
    }
    m.disk = field_bytes(ctl->args[1], length_without_slash(ctl->args[1]));
    request.body_case = DISKALLOC__V1__REQUEST__BODY_MOVE_REGION;
    request.move_region = &m;
    if (ctl->timeout_seconds == 0)
        ctl->timeout_seconds = PATIENCE_SECONDS;
    progress_begin(&progress, "moving", 0);
    ctl->session.on_event = show_progress;
    ctl->session.event_data = &progress;
    ctl->about = ctl->args[0];
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_REGION, &status);
    progress_end(&progress);
    if (!reply)
        return status;
    if (ctl->json)
        status = ctl_print_json(json_pack("{so, so}", "region", text_json_bytes(ctl->args[0], strlen(ctl->args[0])),
                                          "disk", text_json_bytes(reply->region->disk.data, reply->region->disk.len)));
    session_free_reply(reply);
    return status;
}

int move_run(struct ctl *ctl)
{
    struct target t;
    int status = EXIT_USAGE;

    if (target_parse(ctl->args[0], &t))
        status = move(ctl, &t);
    free(t.copy);
    return status;
}
