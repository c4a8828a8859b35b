// The user database of the machine (NSS: /etc/passwd, LDAP, SSSD, ...): users and groups by name and by number.
//
// All functions block, for seconds where a server on the network does not answer: the daemon calls them at start and
// on workers only.  They return 0; -ENOENT when the database has no such user or group; or another -errno when the
// database did not answer, so that nothing is known.
#pragma once
#include <stddef.h>
#include <sys/types.h>

// The number of the user, or group, called NAME, which may be "+NUMBER": then the database is not asked.
int nss_find_user(const char *name, uid_t *ret);
int nss_find_group(const char *name, gid_t *ret);

// The user to whom /etc/subuid lends UID, as it does for containers; the first range that has UID counts.  The owner
// of the range must be a user of the database.  Malformed lines lend nothing.
int nss_find_lender(uid_t uid, uid_t *ret);
// Calls TELL for each malformed line of /etc/subuid, with its number, the first being 1.  Empty lines and lines that
// begin with '#' are not malformed.
void nss_check_ranges(void (*tell)(void *data, unsigned line, const char *why), void *data);

// Whether the database has the group GID.
int nss_ask_group(gid_t gid);

// The name of a user, to be freed, and the primary group.
int nss_read_user(uid_t uid, char **ret_name, gid_t *ret_gid);
// All groups of the user NAME whose primary group is GID; that group is among them.  *RET is to be freed.
int nss_read_groups(const char *name, gid_t gid, gid_t **ret, size_t *ret_n);
