// Names of regions: how they are written, and how a region loses its own.
#include <errno.h>
#include <string.h>

#include "client/diskalloc.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"

int region_parse_name(const struct diskalloc *da, const char *text, struct region_name *ret)
{
    const char *slash, *name;
    size_t n_user;
    int r;

    if (!text)
        return error_why(-EINVAL, "the name is NULL");
    if (da->fallback)
        return error_why(-ECONNREFUSED, "no daemon is running, and named regions need one (or a dir: address)");
    slash = strchr(text, '/');
    name = slash ? slash + 1 : text;
    n_user = slash ? (size_t)(slash - text) : 0;
    if ((slash && n_user == 0) || n_user >= sizeof ret->user)
        return error_why(-EINVAL, "\"%.150s\" is not USER/NAME", text);
    r = name_check(name, strlen(name));
    if (r < 0)
        return error_why(r, "\"%.150s\" can't be a region's name", text);
    memcpy(ret->user, text, n_user);
    ret->user[n_user] = '\0';
    strcpy(ret->name, name);
    return 0;
}

int region_unlink(struct diskalloc *da, const char *name)
{
    struct region_name parsed;
    int r = region_parse_name(da, name, &parsed);

    return r < 0 ? r : da->backend->ops->unlink(da->backend, &parsed);
}

int diskalloc_region_unlink(struct diskalloc *da, const char *name)
{
    error_begin("diskalloc_region_unlink");
    return error_end(da ? region_unlink(da, name) : -EINVAL);
}
