// Each look-up asks with a buffer that grows until the answer fits: the entry of a group holds the names of all its
// members.
#include "proto/util/nss.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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

static int ask_group_id(const void *key, struct answer *a, size_t size)
{
    return getgrgid_r(*(const gid_t *)key, &a->group, a->buffer, size, &a->found_group);
}

static int ask_group_name(const void *key, struct answer *a, size_t size)
{
    return getgrnam_r(key, &a->group, a->buffer, size, &a->found_group);
}

// glibc returns 0 for what a database does not know, and the errno of a database that does not answer: ENOENT too, if
// the file or the socket of the database is missing.  A few errors mean, in some modules, that there is no such
// entry.
static bool is_trouble(int error)
{
    static const int no_entry[] = {ESRCH, EBADF, EPERM, EINVAL};

    for (size_t i = 0; i < sizeof no_entry / sizeof *no_entry; i++)
        if (error == no_entry[i])
            return false;
    return error != 0;
}

static int ask(ask_fn *fn, const void *key, struct answer *a)
{
    int error = ERANGE;

    for (size_t size = BUFFER_FIRST; error == ERANGE && size <= BUFFER_MAX; size *= 4) {
        free(a->buffer);
        a->buffer = malloc(size);
        error = a->buffer ? fn(key, a, size) : ENOMEM;
    }
    if (is_trouble(error))
        return error == ENOENT ? -EHOSTDOWN : -error; // -ENOENT means that there is no such entry
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

int nss_ask_group(gid_t gid)
{
    _cleanup_(answer_free) struct answer a = {.buffer = NULL};

    return ask(ask_group_id, &gid, &a);
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

// A line of /etc/subuid: OWNER:FIRST:COUNT.  OWNER may hold colons and blanks.
struct range {
    const char *owner;
    uint64_t first, count; // uids
};

// NULL; or why LINE is malformed.  An empty line and a comment are ranges of no uids.
static const char *parse_range(char *line, struct range *ret)
{
    char *count, *first;

    *ret = (struct range){.owner = line};
    line[strcspn(line, "\n")] = '\0';
    if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
        return NULL;
    count = strrchr(line, ':');
    if (count)
        *count++ = '\0';
    first = count ? strrchr(line, ':') : NULL;
    if (!first)
        return "it is not of the form OWNER:FIRST:COUNT";
    *first++ = '\0';
    if (!*line)
        return "it names no owner";
    if (!number_parse(first, 10, UINT32_MAX, &ret->first))
        return "the first uid of the range is no whole number below 2^32";
    if (!number_parse(count, 10, UINT32_MAX, &ret->count))
        return "the number of uids is no whole number below 2^32";
    return NULL;
}

// The owner of a range is a name, or a number without a sign.
static int find_owner(const char *owner, uid_t *ret)
{
    _cleanup_(answer_free) struct answer a = {.buffer = NULL};
    uint64_t number;
    int r = ask(ask_user_name, owner, &a);

    if (r == 0)
        *ret = a.user.pw_uid;
    if (r != -ENOENT || !number_parse(owner, 10, UINT32_MAX - 1, &number))
        return r;
    *ret = (uid_t)number;
    return ask(ask_user_id, ret, &a);
}

static bool has_uid(const struct range *range, uid_t uid)
{
    return uid >= range->first && uid - range->first < range->count;
}

int nss_find_lender(uid_t uid, uid_t *ret)
{
    FILE *ranges = fopen("/etc/subuid", "re");
    _cleanup_free_ char *line = NULL;
    struct range range;
    bool found = false;
    size_t size = 0;
    int r = -ENOENT;

    if (!ranges)
        return errno == ENOENT || errno == EACCES ? -ENOENT : -errno;
    while (r == -ENOENT && getline(&line, &size, ranges) >= 0) {
        found = !parse_range(line, &range) && has_uid(&range, uid);
        if (found)
            r = find_owner(range.owner, ret);
    }
    if (!found && ferror(ranges))
        r = -EIO;
    fclose(ranges);
    return r;
}

void nss_check_ranges(void (*tell)(void *data, unsigned line, const char *why), void *data)
{
    FILE *ranges = fopen("/etc/subuid", "re");
    _cleanup_free_ char *line = NULL;
    struct range range;
    size_t size = 0;

    for (unsigned n = 1; ranges && getline(&line, &size, ranges) >= 0; n++) {
        const char *why = parse_range(line, &range);

        if (why)
            tell(data, n, why);
    }
    if (ranges)
        fclose(ranges);
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
