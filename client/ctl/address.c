// Where the daemon is: see address.h.
#include "client/ctl/address.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "client/ctl/output.h"
#include "client/ctl/text.h"
#include "proto/version.h"

static const char unix_prefix[] = "unix:", dir_prefix[] = "dir:";

static bool is_too_long(const char *path)
{
    return strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

// A copy of ADDRESS, which SOURCE gave; or NULL after a complaint.
static char *check(const char *address, const char *source, bool may_be_directory)
{
    char text[TEXT_MAX];

    text_escape(address, strlen(address), text);
    if (may_be_directory && address_is_directory(address)) {
        if (address_path(address)[0] == '/')
            return strdup(address);
        ctl_complain("%s is %s; it must be dir: followed by the absolute path of a directory", source, text);
        return NULL;
    }
    if (strncmp(address, dir_prefix, strlen(dir_prefix)) == 0) {
        ctl_complain("%s is %s, a directory that programs use without a daemon, so there is none to ask", source, text);
        return NULL;
    }
    if (strncmp(address, unix_prefix, strlen(unix_prefix)) != 0 || address_path(address)[0] != '/') {
        ctl_complain("%s is %s; it must be unix: followed by the absolute path of a socket", source, text);
        return NULL;
    }
    if (is_too_long(address_path(address))) {
        ctl_complain("%s is %s; the path of a socket has at most 107 bytes", source, text);
        return NULL;
    }
    return strdup(address);
}

static char *of_instance(const char *instance)
{
    char *address, text[TEXT_MAX];

    if (!*instance || *instance == '.' || strchr(instance, '/')) {
        ctl_complain("--instance takes a name, which has no slash and no leading dot");
        return NULL;
    }
    if (asprintf(&address, "%s" SOCKET_DIR "/%s.sock", unix_prefix, instance) < 0)
        return NULL;
    if (is_too_long(address_path(address))) {
        ctl_complain("--instance is %s; the path of its socket would have more than 107 bytes",
                     text_escape(instance, strlen(instance), text));
        free(address);
        return NULL;
    }
    return address;
}

char *address_resolve(const char *address, const char *instance, bool may_be_directory)
{
    const char *environment;

    if (address)
        return check(address, "--address", may_be_directory);
    if (instance)
        return of_instance(instance);
    environment = secure_getenv("DISKALLOC_ADDRESS");
    if (environment && *environment)
        return check(environment, "DISKALLOC_ADDRESS", may_be_directory);
    return of_instance(DEFAULT_INSTANCE);
}

bool address_is_mounted(const char *path)
{
    struct statx s;

    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &s) == 0 && s.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT &&
           s.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

const char *address_path(const char *address)
{
    return address + strlen(address_is_directory(address) ? dir_prefix : unix_prefix);
}

bool address_is_directory(const char *address)
{
    return strncmp(address, dir_prefix, strlen(dir_prefix)) == 0;
}

bool address_instance(const char *address, char instance[static TEXT_MAX])
{
    static const char dir[] = SOCKET_DIR "/", end[] = ".sock";
    const char *path = address_path(address), *name = path + sizeof(dir) - 1;
    size_t n;

    if (strncmp(path, dir, sizeof(dir) - 1) != 0 || strchr(name, '/'))
        return false;
    n = strlen(name);
    if (n < sizeof(end) || strcmp(name + n - (sizeof(end) - 1), end) != 0)
        return false;
    text_escape(name, n - (sizeof(end) - 1), instance);
    if (strcmp(instance, DEFAULT_INSTANCE) == 0)
        instance[0] = '\0';
    return true;
}
