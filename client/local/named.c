// Finding the file of a named region.
//
// Several users may share the directory; often it is one where everybody can make files, as /tmp.  So whatever is
// found under a name may have been put there by somebody else: a file of theirs, which they could read and cut once
// it is in use; a link to a file of the caller's; a pipe or a file with a lease, which would keep an open waiting.
// Hence these rules:
//
//   - NAME is the caller's own region.  USER/NAME is the region of that user, as with a daemon; the mode of the file,
//     which the kernel checks, then says whether the caller may open it.  Another owner's file is refused, also where
//     its mode would do.
//   - A file has one name.  A hard link to a region, or to another file, is refused.
//   - Symbolic links are not followed, and only regular files are opened.
//   - A file is looked at before it is opened, so that nothing of others is touched, and again afterwards, as the name
//     may lead to another file by then.
//   - By its handle (local_find_by_handle) any region can be attached whose mode permits it: a handle is given by hand
//     from one process to another.  The record that has the handle can be copied, however; so the caller's own regions
//     go first.
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/local/local_internal.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"
#include "proto/util/nss.h"
#include "proto/util/text.h"

#define ANY_OWNER ((uid_t)-1)

int local_find_owner(const struct region_name *name, uid_t *ret)
{
    int r = 0;

    *ret = geteuid();
    if (name->user[0] && !id_parse(name->user, ret))
        r = nss_find_user(name->user, ret);
    if (r == -ENOENT)
        return error_why(-EOPNOTSUPP, "a directory has regions of known users only, none of %s", name->user);
    if (r == -ENOMEM || r == -EMFILE)
        return r;
    return r < 0 ? error_why(-EIO, "the user database did not say who %s is (%s)", name->user, strerrordesc_np(-r)) : 0;
}

static int refuse_owner(const char *name, uid_t owner)
{
    _cleanup_free_ char *user = NULL;
    char number[16];
    gid_t group;

    snprintf(number, sizeof number, "+%u", (unsigned)owner);
    if (nss_read_user(owner, &user, &group) < 0)
        user = NULL;
    return error_why(-EACCES, "%s is another user's, and may be opened as %s/%s", name, user ? user : number, name);
}

// Checks whether the file may be opened at all, and whether the caller means it.
static int check_file(const char *name, const struct stat *st, uid_t owner)
{
    if (!S_ISREG(st->st_mode))
        return error_why(-EEXIST, "%s is there and no region", name);
    if (owner != ANY_OWNER && st->st_uid != owner)
        return refuse_owner(name, st->st_uid);
    if (st->st_nlink > 1)
        return error_why(-EEXIST, "%s is there and no region: it is a hard link, and has another name too", name);
    return 0;
}

static int look_before_opening(const struct local *l, const char *name, uid_t owner)
{
    struct stat st;

    if (fstatat(l->dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_why(-errno, "%s", name);
    return check_file(name, &st, owner);
}

static int load_record(const char *name, int fd, struct record *ret)
{
    int r = record_load(&file_ops_system, fd, ret);

    if (r == -EPROTONOSUPPORT)
        return error_why(-EEXIST, "%s was made by a newer version", name);
    if (r == 0 && strcmp(ret->name, name) != 0)
        r = -ENODATA;
    if (r == -ENODATA || r == -EBADMSG || r == -EOPNOTSUPP)
        return error_why(-EEXIST, "%s is there and no region", name);
    return r;
}

int local_open_named(const struct local *l, const char *name, uid_t owner, bool read_only, struct record *ret,
                     uid_t *ret_owner)
{
    int access = read_only ? O_RDONLY : O_RDWR, r = look_before_opening(l, name, owner);
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (r < 0)
        return r;
    fd = file_ops_system.open_at(l->dir.fd, name, access | O_NONBLOCK | O_NOCTTY, 0);
    // ELOOP, ENXIO, EISDIR: another file has the name by now.
    if (fd == -ELOOP || fd == -ENXIO || fd == -EISDIR)
        return error_why(-EEXIST, "%s is there and no region", name);
    if (fd < 0)
        return error_why(fd, "%s", name);
    r = file_ops_system.stat(fd, &st);
    if (r == 0)
        r = check_file(name, &st, owner);
    if (r == 0)
        r = load_record(name, fd, ret);
    if (r < 0)
        return r;
    if (ret_owner)
        *ret_owner = st.st_uid;
    return steal_fd(&fd);
}

int local_check_absent(const struct local *l, const char *name)
{
    struct record record;
    _cleanup_close_ int fd = local_open_named(l, name, ANY_OWNER, true, &record, NULL);

    return fd == -ENOENT ? 0 : fd < 0 && fd != -EACCES ? fd : error_why(-EEXIST, "%s is there", name);
}

int local_read_directory(struct local *l, DIR **ret)
{
    _cleanup_close_ int copy = -1;
    int r = local_hold_directory(l);

    if (r < 0)
        return r;
    copy = openat(l->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *ret = copy < 0 ? NULL : fdopendir(copy);
    if (!*ret)
        return -errno;
    steal_fd(&copy);
    return 0;
}

bool local_may_be_region(const struct dirent *e)
{
    return name_check(e->d_name, strlen(e->d_name)) == 0 && (e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
}

bool local_is_shortage(int e)
{
    return e == -EMFILE || e == -ENFILE || e == -ENOMEM;
}

int local_find_by_handle(struct local *l, const struct handle *handle, bool read_only, struct record *ret)
{
    _cleanup_closedir_ DIR *d = NULL;
    _cleanup_close_ int others = -1;
    bool ambiguous = false;
    int r = local_read_directory(l, &d);

    if (r < 0)
        return r;
    assert(d);
    for (struct dirent *e; (errno = 0, e = readdir(d));) {
        _cleanup_close_ int fd = -1;
        struct record record;
        uid_t owner = ANY_OWNER;

        if (local_may_be_region(e))
            fd = local_open_named(l, e->d_name, ANY_OWNER, read_only, &record, &owner);
        if (local_is_shortage(fd))
            return fd;
        if (fd < 0 || !handle_equal(&record.handle, handle))
            continue;
        if (owner != geteuid() && others >= 0) {
            ambiguous = true;
            continue;
        }
        *ret = record;
        if (owner == geteuid())
            return steal_fd(&fd);
        others = steal_fd(&fd);
    }
    if (errno)
        return error_why(-errno, "reading the directory");
    if (ambiguous)
        return error_why(-EACCES, "several files of other users claim that handle");
    return others >= 0 ? steal_fd(&others)
                       : error_why(-ENOENT, "no region with that handle in this process or directory");
}
