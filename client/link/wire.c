#include "client/link/wire.h"

#include <errno.h>

#include "client/util/error.h"

static const int errnos[] = {
    [DISKALLOC__V1__ERROR_CODE__OK] = EPROTO,
    [DISKALLOC__V1__ERROR_CODE__PROTOCOL] = EPROTO,
    [DISKALLOC__V1__ERROR_CODE__VERSION] = EPROTO,
    [DISKALLOC__V1__ERROR_CODE__UNSUPPORTED] = EOPNOTSUPP,
    [DISKALLOC__V1__ERROR_CODE__INVALID] = EINVAL,
    [DISKALLOC__V1__ERROR_CODE__NAME_TOO_LONG] = ENAMETOOLONG,
    [DISKALLOC__V1__ERROR_CODE__OVERFLOW] = EOVERFLOW,
    [DISKALLOC__V1__ERROR_CODE__LIMIT] = EDQUOT,
    [DISKALLOC__V1__ERROR_CODE__NO_SPACE] = ENOSPC,
    [DISKALLOC__V1__ERROR_CODE__ACCESS] = EACCES,
    [DISKALLOC__V1__ERROR_CODE__NOT_FOUND] = ENOENT,
    [DISKALLOC__V1__ERROR_CODE__EXISTS] = EEXIST,
    [DISKALLOC__V1__ERROR_CODE__STALE] = ESTALE,
    [DISKALLOC__V1__ERROR_CODE__BUSY] = EBUSY,
    [DISKALLOC__V1__ERROR_CODE__READ_ONLY] = EROFS,
    [DISKALLOC__V1__ERROR_CODE__IO] = EIO,
    [DISKALLOC__V1__ERROR_CODE__TOO_MANY_FILES] = EMFILE,
    [DISKALLOC__V1__ERROR_CODE__TOO_MANY_REQUESTS] = EMFILE,
    [DISKALLOC__V1__ERROR_CODE__NO_MEMORY] = ENOMEM,
    [DISKALLOC__V1__ERROR_CODE__TIMED_OUT] = ETIMEDOUT,
    [DISKALLOC__V1__ERROR_CODE__CANCELLED] = ECANCELED,
    [DISKALLOC__V1__ERROR_CODE__ELEMENT_SIZE] = EPROTOTYPE,
    [DISKALLOC__V1__ERROR_CODE__NOT_ATTACHED] = ESTALE,
    [DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN] = ECONNRESET,
    [DISKALLOC__V1__ERROR_CODE__EARLY_REFUSED] = EAGAIN,
};

int wire_refusal(const WireReply *reply)
{
    const Diskalloc__V1__Error *e = reply->error;
    unsigned code;
    int r;

    if (!e)
        return 0;
    code = (unsigned)e->code;
    r = code < sizeof errnos / sizeof *errnos ? -errnos[code] : -EPROTO;
    if (e->limit_name[0])
        error_limit(r, e->limit_name, e->limit, e->used, e->asked);
    return error_why(r, "%s", e->message);
}

void wire_reply_free(WireReply *reply)
{
    if (reply)
        diskalloc__v1__reply__free_unpacked(reply, NULL);
}
