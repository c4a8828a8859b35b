// The control group of the program that made a region.  Only a region whose maker was in a configured one has this
// attribute, so that the others need no block for it beside the inode.
#include "daemon/store/store.h"
#include "daemon/store/store_internal.h"

#include <errno.h>
#include <string.h>

#define CGROUP_XATTR RECORD_XATTR ".cgroup"

int store_write_cgroup(struct store *s, int fd, const char *path)
{
    return s->ops->set_xattr(fd, CGROUP_XATTR, path, strlen(path));
}

int store_read_cgroup(struct store *s, int fd, char ret[static STORE_CGROUP_SIZE])
{
    ssize_t n = s->ops->get_xattr(fd, CGROUP_XATTR, ret, STORE_CGROUP_SIZE - 1);

    ret[n < 0 ? 0 : n] = '\0';
    if (n == -ENODATA)
        return 0;
    if (n == -ERANGE || (n >= 0 && strlen(ret) != (size_t)n))
        return -EBADMSG;
    return n < 0 ? (int)n : 0;
}
