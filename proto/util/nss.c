// Each look-up asks with a buffer that grows until the answer fits: the entry of a group holds the names of all its members.
#include "proto/util/nss.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>

#include "proto/util/cleanup.h"
#include "proto/util/text.h"

enum {
    BUFFER_FIRST = 4096,
    BUFFER_MAX = 64 * 1024 * 1024,
    GROUPS_FIRST = 64,
    GROUPS_MAX = 65536, // as many as the kernel lets a process have (NGROUPS_MAX)
};

struct answer {
    struct passwd user, *found_user; // FOUND_... is NULL, or points to the entry beside it
    struct group group, *found_group;
    char *buffer; // the strings of the entry
};

static void answer_free(struct answer *a)
{
    free(a->buffer);
}

// The functions of libc with one signature.
typedef int ask_fn(const void *key, struct answer *a, size_t size);

static int ask_user_name(const void *key, struct answer *a, size_t size)
{
    return getpwnam_r(key, &a->user, a->buffer, size, &a->found_user);
}

static int ask_user_id(const void *key, struct answer *a, size_t size)
{
    return getpwuid_r(*(const uid_t *)key, &a->user, a->buffer, size, &a->found_user);
}

static int ask_group_name(const void *key, struct answer *a, size_t size)
{
    return getgrnam_r(key, &a->group, a->buffer, size, &a->found_group);
}

// Some databases report an unknown name or number as an error of another kind.  Only these errors mean that the database did not answer.
static bool is_trouble(int error)
{
    static const int trouble[] = {EIO, EINTR, EAGAIN, EMFILE, ENFILE, ENOMEM, ERANGE, ETIMEDOUT, ECONNREFUSED};

    for (size_t i = 0; i < sizeof trouble / sizeof *trouble; i++)
        if (error == trouble[i])
            return true;
    return false;
}

static int ask(ask_fn *fn, const void *key, struct answer *a)
{
    int error = ERANGE;

    for (size_t size = BUFFER_FIRST; error == ERANGE && size <= BUFFER_MAX; size *= 4) {
        free(a->buffer);
        a->buffer = malloc(size);
        error = a->buffer ? fn(key, a, size) : ENOMEM;
    }
    if (error != 0 && is_trouble(error))
        return -error;
    return error == 0 && (a->found_user || a->found_group) ? 0 : -ENOENT;
}

int nss_find_user(const char *name, uid_t *ret)
{
    _cleanup_(answer_free) struct answer a = {.buffer = NULL};
    int r = id_parse(name, ret) ? 1 : ask(ask_user_name, name, &a);

    if (r == 0)
        *ret = a.user.pw_uid;
    return r < 0 ? r : 0;
}

int nss_find_group(const char *name, gid_t *ret)
{
    _cleanup_(answer_free) struct answer a = {.buffer = NULL};
    int r = id_parse(name, ret) ? 1 : ask(ask_group_name, name, &a);

    if (r == 0)
        *ret = a.group.gr_gid;
    return r < 0 ? r : 0;
}

int nss_read_user(uid_t uid, char **ret_name, gid_t *ret_gid)
{
    _cleanup_(answer_free) struct answer a = {.buffer = NULL};
    int r = ask(ask_user_id, &uid, &a);

    if (r < 0)
        return r;
    *ret_name = strdup(a.user.pw_name);
    *ret_gid = a.user.pw_gid;
    return *ret_name ? 0 : -ENOMEM;
}

int nss_read_groups(const char *name, gid_t gid, gid_t **ret, size_t *ret_n)
{
    int n = GROUPS_FIRST, had;

    do {
        _cleanup_free_ gid_t *groups = calloc((size_t)n, sizeof *groups);

        had = n;
        if (!groups)
            return -ENOMEM;
        if (getgrouplist(name, gid, groups, &n) >= 0) {
            *ret = steal(&groups);
            *ret_n = (size_t)n;
            return 0;
        }
    } while (n > had && n <= GROUPS_MAX);
    return -ERANGE;
}
