// Errors of the wire, as errnos: see wire.h.
#include "client/link/wire.h"

#include "client/util/error.h"
#include "proto/errors.h"

int wire_refusal(const WireReply *reply)
{
    const Diskalloc__V1__Error *e = reply->error;
    int r;

    if (!e)
        return 0;
    r = protocol_error_errno(e->code);
    if (e->limit_name[0])
        error_limit(r, e->limit_name, e->limit, e->used, e->asked);
    return error_why(r, "%s", e->message);
}

void wire_reply_free(WireReply *reply)
{
    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
}
