// The answer of the user database about one uid: see user_entry.h.
//
// Two answers can't be trusted.  getgrouplist(3) reports no errors: while the database of groups is away, a user
// seems to be in the primary group only.  So a group that is missing from the list is asked for by its number; if
// that gets no answer, the whole look-up has none.  And a cache may still have the name of a user who was made again
// under another uid: a name that the configuration mentions, or that another uid has claimed, is asked for as well.
#include "daemon/user_entry.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/names.h"
#include "daemon/subuid.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

// A name that begins with a plus would be taken for a number.  A name with other bytes than UTF-8, or with control
// characters, can't be sent, logged and configured.
static bool can_be_shown(const char *name)
{
    size_t left = strlen(name), n;

    if (left == 0 || left >= USER_NAME_MAX || *name == '+')
        return false;
    for (uint32_t code; left > 0; name += n, left -= n) {
        n = utf8_decode(name, left, &code);
        if (n == 0 || code < ' ' || (code >= 0x7f && code < 0xa0))
            return false;
    }
    return true;
}

char *user_entry_number(uid_t uid)
{
    char *text;

    return asprintf(&text, "+%u", (unsigned)uid) < 0 ? NULL : text;
}

void user_entry_deinit(struct user_entry *e)
{
    free(e->name);
    free(e->groups);
    *e = (struct user_entry){.gid = (gid_t)-1};
}

static bool contains(const gid_t *groups, size_t n, gid_t gid)
{
    for (size_t i = 0; i < n; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

bool user_entry_equal(const struct user_entry *a, const struct user_entry *b)
{
    if (strcmp(a->name ? a->name : "", b->name ? b->name : "") != 0 || a->gid != b->gid || a->n_groups != b->n_groups)
        return false;
    for (size_t i = 0; i < a->n_groups; i++)
        if (!contains(b->groups, b->n_groups, a->groups[i]))
            return false;
    return a->is_listed == b->is_listed && a->has_name == b->has_name && a->is_lent == b->is_lent &&
           a->lender == b->lender;
}

// 0 or -errno, see nss.h.
static int read_groups(const char *name, const gid_t *former, size_t n_former, struct user_entry *e)
{
    int r = nss_read_groups(name, e->gid, &e->groups, &e->n_groups);

    for (size_t i = 0; r == 0 && i < n_former; i++)
        if (!contains(e->groups, e->n_groups, former[i]))
            r = nss_ask_group(former[i]);
    return r == -ENOENT ? 0 : r;
}

// Whether NAME means UID.  0; -ENOENT: another uid; or another -errno.
static int check_owner(uid_t uid, const char *name, bool check, struct names *names, bool *ret_verified)
{
    uint32_t owner = uid;
    int r;

    if (!check && names && names_find(names, true, name, &owner) == 0)
        check = owner != uid;
    if (!check)
        return 0;
    r = nss_find_user(name, &owner);
    *ret_verified = r == 0;
    return r == 0 && owner != uid ? -ENOENT : r;
}

static int read_listed(uid_t uid, char *name, bool check_name, struct names *names, const gid_t *former,
                       size_t n_former, struct user_entry *e)
{
    int r = read_groups(name, former, n_former, e);

    if (r < 0)
        return r;
    r = can_be_shown(name) ? check_owner(uid, name, check_name, names, &e->is_verified) : -ENOENT;
    if (r < 0 && r != -ENOENT)
        return r;
    e->is_listed = true;
    e->has_name = r == 0;
    e->name = r == 0 ? strdup(name) : NULL;
    return r == 0 && !e->name ? -ENOMEM : 0;
}

bool user_entry_read(uid_t uid, bool check_name, struct names *names, const gid_t *former, size_t n_former,
                     struct user_entry *ret)
{
    _cleanup_free_ char *name = NULL;
    int r;

    *ret = (struct user_entry){.gid = (gid_t)-1};
    r = nss_read_user(uid, &name, &ret->gid);
    if (r == 0)
        r = read_listed(uid, name, check_name, names, former, n_former, ret);
    else if (r == -ENOENT) {
        subuid_tell_malformed();
        r = nss_find_lender(uid, &ret->lender);
        ret->is_lent = r == 0;
        r = r == -ENOENT ? 0 : r;
    }
    if (r == 0 && !ret->name)
        ret->name = user_entry_number(uid);
    if (r < 0)
        user_entry_deinit(ret);
    return r == 0;
}
