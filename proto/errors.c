// The table of errors that cross the wire: see errors.h.
#include "proto/errors.h"

#include <errno.h>
#include <stddef.h>

#define CODE(name) DISKALLOC__V1__ERROR_CODE__##name

// The two errnos of a row differ where the daemon needs to tell apart what a program need not (EUSERS, ENOTCONN,
// ESHUTDOWN), and where the program knows another name for it (EXFULL).
static const struct protocol_error errors[] = {
    {EIO, EIO, CODE(IO), "the disk reported an error"}, // the first row is taken for every errno that has none
    {EPROTO, EPROTO, CODE(PROTOCOL), "the packet breaks the protocol"},
    {0, EPROTO, CODE(VERSION), NULL},
    {EOPNOTSUPP, EOPNOTSUPP, CODE(UNSUPPORTED), "this daemon does not know that"},
    {EINVAL, EINVAL, CODE(INVALID), "a value is out of range"},
    {ENAMETOOLONG, ENAMETOOLONG, CODE(NAME_TOO_LONG), "the name is longer than 128 bytes"},
    {EOVERFLOW, EOVERFLOW, CODE(OVERFLOW), "no file can be that large"},
    {EFBIG, EOVERFLOW, CODE(OVERFLOW), "the file system has no files that large"},
    {EDQUOT, EDQUOT, CODE(LIMIT), "a limit is reached"},
    {ENOSPC, ENOSPC, CODE(NO_SPACE), "no space is left"},
    {EACCES, EACCES, CODE(ACCESS), "permission denied"},
    {EPERM, EACCES, CODE(ACCESS), "permission denied"},
    {ENOENT, ENOENT, CODE(NOT_FOUND), "there is no such region"},
    {ESRCH, ENOENT, CODE(NOT_FOUND), "nothing here belongs to a user or group of that name"},
    {EEXIST, EEXIST, CODE(EXISTS), "it exists already"},
    {ESTALE, ESTALE, CODE(STALE), "the region was unlinked, or has changed meanwhile"},
    {EBUSY, EBUSY, CODE(BUSY), "others are attached to the region, or may still map it"},
    {EUSERS, EMFILE, CODE(TOO_MANY_REQUESTS), "a bound of this region or connection is reached"},
    {EROFS, EROFS, CODE(READ_ONLY), "attached for reading only"},
    {EMFILE, EMFILE, CODE(TOO_MANY_FILES), "the daemon is out of file descriptors"},
    {ENFILE, EMFILE, CODE(TOO_MANY_FILES), "the system is out of file descriptors"},
    {ENOMEM, ENOMEM, CODE(NO_MEMORY), "the daemon is out of memory"},
    {ETIMEDOUT, ETIMEDOUT, CODE(TIMED_OUT), "the deadline passed"},
    {ECANCELED, ECANCELED, CODE(CANCELLED), "cancelled"},
    {EPROTOTYPE, EPROTOTYPE, CODE(ELEMENT_SIZE), "committed with another element size"},
    {ENOTCONN, ESTALE, CODE(NOT_ATTACHED), "the region is not attached on this connection"},
    {ESHUTDOWN, ECONNRESET, CODE(SHUTTING_DOWN), "the daemon is about to end"},
    {EXFULL, EAGAIN, CODE(EARLY_REFUSED), "not needed yet, and too little would be left for others"},
};

enum { N_ERRORS = sizeof errors / sizeof *errors };

const struct protocol_error *protocol_error_of(int error)
{
    for (size_t i = 0; i < N_ERRORS; i++)
        if (error < 0 && errors[i].daemon_errno == -error)
            return &errors[i];
    return &errors[0];
}

int protocol_error_errno(Diskalloc__V1__ErrorCode code)
{
    for (size_t i = 0; i < N_ERRORS; i++)
        if (errors[i].code == code)
            return -errors[i].client_errno;
    return -EPROTO;
}
