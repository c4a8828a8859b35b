// `diskallocctl metrics`: what Prometheus would read, from the daemon's ordinary socket.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"

enum { TRIES = 3 }; // a text whose pages came too slowly is asked for again

struct document {
    char *text;
    size_t n;
};

static bool add(struct document *d, const ProtobufCBinaryData *part)
{
    char *longer = realloc(d->text, d->n + part->len + 1);

    if (!longer)
        return false;
    d->text = longer;
    memcpy(d->text + d->n, part->data, part->len);
    d->n += part->len;
    return true;
}

// Whether the text that the cursor belongs to is gone.
static bool is_stale(const Diskalloc__V1__Reply *reply)
{
    return reply->error && reply->error->code == DISKALLOC__V1__ERROR_CODE__STALE;
}

// Adds a page, and moves the cursor behind it.  An exit status; *RET_STALE: it has to begin anew.
static int take_page(struct ctl *ctl, Diskalloc__V1__GetMetrics *get, struct document *d, bool *ret_stale)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__Reply *reply = NULL;
    int status;

    request.body_case = DISKALLOC__V1__REQUEST__BODY_GET_METRICS;
    request.get_metrics = get;
    status = ctl_ask(ctl, &request, &reply);
    if (status != EXIT_DONE)
        return status;
    *ret_stale = is_stale(reply);
    free(get->cursor.data);
    get->cursor = (ProtobufCBinaryData){0};
    if (reply->error && !*ret_stale)
        ctl_complain_of_error(NULL, reply->error);
    else if (!reply->error && reply->body_case != DISKALLOC__V1__REPLY__BODY_METRICS)
        ctl_complain("the daemon's answer does not fit the request");
    else if (!reply->error && !add(d, &reply->metrics->text))
        ctl_complain("out of memory");
    else if (!reply->error) {
        get->cursor = reply->metrics->next_cursor;
        reply->metrics->next_cursor = (ProtobufCBinaryData){0};
        session_free_reply(reply);
        return EXIT_DONE;
    }
    session_free_reply(reply);
    return EXIT_REFUSED;
}

static int fetch(struct ctl *ctl, Diskalloc__V1__MetricsFormat format, struct document *d)
{
    int status = EXIT_REFUSED;
    bool stale = true;

    for (int i = 0; stale && i < TRIES; i++) {
        Diskalloc__V1__GetMetrics get = DISKALLOC__V1__GET_METRICS__INIT;

        get.format = format;
        d->n = 0;
        do
            status = take_page(ctl, &get, d, &stale);
        while (status == EXIT_DONE && get.cursor.len > 0);
        free(get.cursor.data);
    }
    if (stale)
        ctl_complain("the daemon's answers come too slowly to fit together; try again");
    return status;
}

int metrics_run(struct ctl *ctl)
{
    const char *format = ctl->n_args > 0 ? ctl->args[0] : "openmetrics";
    const bool plain = strcmp(format, "text") == 0;
    _cleanup_free_ char *text = NULL;
    struct document d = {0};
    int status;

    if (!plain && strcmp(format, "openmetrics") != 0) {
        ctl_complain("metrics is followed by openmetrics or text, or by nothing");
        return EXIT_USAGE;
    }
    status = fetch(
        ctl, plain ? DISKALLOC__V1__METRICS_FORMAT__METRICS_TEXT : DISKALLOC__V1__METRICS_FORMAT__METRICS_OPENMETRICS,
        &d);
    text = d.text;
    if (status != EXIT_DONE)
        return status;
    if (ctl->json)
        return ctl_print_json(json_pack("{ss, so}", "format", format, "text", text_json_bytes(d.text, d.n)));
    fwrite(d.text, 1, d.n, stdout);
    return EXIT_DONE;
}
