// Checking the options that callers pass: see options.h.
#include "client/options.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "client/util/error.h"

static bool all_zero(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

// RET holds the defaults.  A smaller struct comes from an older program: fields that it lacks keep their defaults.  A
// larger struct comes from a newer program: it is accepted if the fields that are unknown here are zero.
static int take_struct(const void *from, size_t from_size, void *ret, size_t size)
{
    if (from_size == 0)
        return error_why(-EINVAL, "struct_size is 0; begin with the INIT macro");
    if (from_size > size && !all_zero((const unsigned char *)from + size, from_size - size))
        return error_why(-EINVAL, "the options have fields that this version of the library does not know");
    memcpy(ret, from, from_size < size ? from_size : size);
    return 0;
}

int options_check(const struct diskalloc_options *options, struct diskalloc_options *ret)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    int r = options ? take_struct(options, options->struct_size, &o, sizeof o) : 0;

    if (r < 0)
        return r;
    if (o.flags & ~(uint32_t)DISKALLOC_NO_THREADS)
        return error_why(-EINVAL, "unknown flags 0x%x", o.flags);
    if (o.reconnect_timeout_ms < -1)
        return error_why(-EINVAL, "reconnect_timeout_ms is %d", o.reconnect_timeout_ms);
    *ret = o;
    return 0;
}

int options_check_region(const struct diskalloc_region_options *o, uint32_t allowed_flags,
                         struct diskalloc_region_options *ret)
{
    struct diskalloc_region_options checked = DISKALLOC_REGION_OPTIONS_INIT;
    int r = o ? take_struct(o, o->struct_size, &checked, sizeof checked) : 0;

    if (r < 0)
        return r;
    if (checked.flags & ~allowed_flags)
        return error_why(-EINVAL, "flags 0x%x mean nothing here", checked.flags & ~allowed_flags);
    if (checked.flags & DISKALLOC_REGION_EXCLUSIVE && !(checked.flags & DISKALLOC_REGION_CREATE))
        return error_why(-EINVAL, "EXCLUSIVE without CREATE");
    if (checked.flags & DISKALLOC_REGION_SOLE_WRITER && checked.flags & DISKALLOC_REGION_READ_ONLY)
        return error_why(-EINVAL, "SOLE_WRITER together with READ_ONLY");
    if (checked.mode & ~0777u)
        return error_why(-EINVAL, "mode 0%o has more than permission bits", checked.mode);
    if (checked.mode == 0)
        checked.mode = 0600;
    *ret = checked;
    return 0;
}
