// Addresses: see address.h.
#include "client/address.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "client/util/error.h"
#include "proto/version.h"

int address_parse(const char *text, struct address *ret)
{
    struct address a = {.kind = ADDRESS_UNIX};
    const char *chosen = text ? text : secure_getenv("DISKALLOC_ADDRESS");

    // An empty variable is as good as none.
    if (!chosen || (!text && !*chosen)) {
        *ret = (struct address){.kind = ADDRESS_UNIX, .path = DEFAULT_SOCKET, .may_fall_back = true};
        return 0;
    }
    if (strncmp(chosen, "unix:", 5) == 0) {
        a.path = chosen + 5;
    } else if (strncmp(chosen, "dir:", 4) == 0) {
        a.kind = ADDRESS_DIR;
        a.path = chosen + 4;
    }
    if (!a.path || a.path[0] != '/')
        return error_why(-EINVAL, "%s \"%.100s\" is neither unix:/PATH nor dir:/PATH",
                         text ? "address" : "$DISKALLOC_ADDRESS", chosen);
    *ret = a;
    return 0;
}

static bool is_on_disk(const char *dir)
{
    struct statfs fs;

    return dir && dir[0] == '/' && statfs(dir, &fs) == 0 && (unsigned)fs.f_type != TMPFS_MAGIC &&
           (unsigned)fs.f_type != RAMFS_MAGIC;
}

const char *address_fallback_dir(void)
{
    const char *tmpdir = secure_getenv("TMPDIR");

    if (is_on_disk(tmpdir))
        return tmpdir;
    return is_on_disk("/var/tmp") ? "/var/tmp" : NULL;
}
