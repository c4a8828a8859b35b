// A user database for tests: an NSS module (libnss_datest.so.2) that reads DIR/passwd and DIR/group, where DIR is
// $DISKALLOC_TEST_USERS, and that does what DIR/mode says: nothing (answer), "away" (the service is unavailable),
// "again" (it asks to be tried again), "empty" (it knows nobody), "slow N" (each answer takes N ms), or "hang" (no
// answer comes before the mode is another one).  DIR/asked gets a byte for each question.  See user_database.h.
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum nss_status _nss_datest_getpwnam_r(const char *name, struct passwd *ret, char *buffer, size_t size, int *error);
enum nss_status _nss_datest_getpwuid_r(uid_t uid, struct passwd *ret, char *buffer, size_t size, int *error);
enum nss_status _nss_datest_getgrnam_r(const char *name, struct group *ret, char *buffer, size_t size, int *error);
enum nss_status _nss_datest_getgrgid_r(gid_t gid, struct group *ret, char *buffer, size_t size, int *error);
enum nss_status _nss_datest_initgroups_dyn(const char *name, gid_t skip, long int *start, long int *size,
                                           gid_t **groups, long int limit, int *error);

static FILE *open_file(const char *name, const char *mode)
{
    const char *dir = getenv("DISKALLOC_TEST_USERS");
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir ? dir : "/nonexistent", name);
    return fopen(path, mode);
}

// A byte of DIR/asked stands for a question.
static void count_question(void)
{
    FILE *f = open_file("asked", "ae");

    if (!f)
        return;
    fputc('.', f);
    fclose(f);
}

static void read_mode(char mode[static 16], unsigned *ms)
{
    FILE *f = open_file("mode", "re");

    mode[0] = '\0';
    if (!f)
        return;
    if (fscanf(f, "%15s %u", mode, ms) < 1)
        mode[0] = '\0';
    fclose(f);
}

// NSS_STATUS_SUCCESS: answer.
static enum nss_status obey_mode(int *error)
{
    unsigned ms = 0;
    char mode[16];

    count_question();
    for (read_mode(mode, &ms); strcmp(mode, "hang") == 0; read_mode(mode, &ms))
        usleep(10 * 1000);
    if (strcmp(mode, "slow") == 0)
        usleep(ms * 1000);
    if (strcmp(mode, "away") == 0) {
        *error = ECONNREFUSED;
        return NSS_STATUS_UNAVAIL;
    }
    if (strcmp(mode, "again") == 0) {
        *error = EAGAIN;
        return NSS_STATUS_TRYAGAIN;
    }
    return strcmp(mode, "empty") == 0 ? NSS_STATUS_NOTFOUND : NSS_STATUS_SUCCESS;
}

static enum nss_status find_user(const char *name, uid_t uid, struct passwd *ret, char *buffer, size_t size, int *error)
{
    enum nss_status status = obey_mode(error);
    struct passwd *found = NULL;
    FILE *f = status == NSS_STATUS_SUCCESS ? open_file("passwd", "re") : NULL;

    if (!f)
        return status == NSS_STATUS_SUCCESS ? NSS_STATUS_NOTFOUND : status;
    while (fgetpwent_r(f, ret, buffer, size, &found) == 0)
        if (name ? strcmp(found->pw_name, name) == 0 : found->pw_uid == uid)
            break;
    fclose(f);
    return found ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

static enum nss_status find_group(const char *name, gid_t gid, struct group *ret, char *buffer, size_t size, int *error)
{
    enum nss_status status = obey_mode(error);
    struct group *found = NULL;
    FILE *f = status == NSS_STATUS_SUCCESS ? open_file("group", "re") : NULL;

    if (!f)
        return status == NSS_STATUS_SUCCESS ? NSS_STATUS_NOTFOUND : status;
    while (fgetgrent_r(f, ret, buffer, size, &found) == 0)
        if (name ? strcmp(found->gr_name, name) == 0 : found->gr_gid == gid)
            break;
    fclose(f);
    return found ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

EXPORT enum nss_status _nss_datest_getpwnam_r(const char *name, struct passwd *ret, char *buffer, size_t size,
                                              int *error)
{
    return find_user(name, 0, ret, buffer, size, error);
}

EXPORT enum nss_status _nss_datest_getpwuid_r(uid_t uid, struct passwd *ret, char *buffer, size_t size, int *error)
{
    return find_user(NULL, uid, ret, buffer, size, error);
}

EXPORT enum nss_status _nss_datest_getgrnam_r(const char *name, struct group *ret, char *buffer, size_t size,
                                              int *error)
{
    return find_group(name, 0, ret, buffer, size, error);
}

EXPORT enum nss_status _nss_datest_getgrgid_r(gid_t gid, struct group *ret, char *buffer, size_t size, int *error)
{
    return find_group(NULL, gid, ret, buffer, size, error);
}

static bool has_member(const struct group *g, const char *name)
{
    for (char **member = g->gr_mem; *member; member++)
        if (strcmp(*member, name) == 0)
            return true;
    return false;
}

EXPORT enum nss_status _nss_datest_initgroups_dyn(const char *name, gid_t skip, long int *start, long int *size,
                                                  gid_t **groups, long int limit, int *error)
{
    enum nss_status status = obey_mode(error);
    FILE *f = status == NSS_STATUS_SUCCESS ? open_file("group", "re") : NULL;
    struct group entry, *found;
    char buffer[65536];

    while (f && fgetgrent_r(f, &entry, buffer, sizeof buffer, &found) == 0) {
        if (entry.gr_gid == skip || !has_member(&entry, name) || (limit > 0 && *start >= limit))
            continue;
        if (*start == *size) {
            gid_t *more = realloc(*groups, sizeof(gid_t) * 2 * (size_t)*size);

            if (!more)
                break;
            *groups = more;
            *size *= 2;
        }
        (*groups)[(*start)++] = entry.gr_gid;
    }
    if (f)
        fclose(f);
    return status;
}
