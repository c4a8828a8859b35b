// See discarded.h.
#include "client/util/discarded.h"

#include <errno.h>

#include "client/util/error.h"
#include "proto/util/checked.h"

static int explain(int r, const struct ranges *ranges)
{
    if (r != -EMFILE)
        return r;
    error_limit(r, "discarded ranges", RANGES_MAX, ranges->n, 1);
    return error_why(r, "the region would be in too many pieces");
}

int discarded_add(struct ranges *r, uint64_t offset, uint64_t length)
{
    uint64_t end;

    if (!checked_add(offset, length, &end))
        return error_why(-EPROTO, "a range behind the end of all files");
    return explain(ranges_add(r, offset, length), r);
}

static int end_copy(struct ranges *ret, int r)
{
    r = explain(r, ret);
    if (r < 0)
        ranges_deinit(ret);
    return r;
}

int discarded_with(const struct ranges *now, uint64_t offset, uint64_t length, struct ranges *ret)
{
    int r = ranges_copy(now, ret);

    return r < 0 ? r : end_copy(ret, ranges_add(ret, offset, length));
}

int discarded_without(const struct ranges *now, uint64_t offset, uint64_t length, struct ranges *ret)
{
    int r = ranges_copy(now, ret);

    return r < 0 ? r : end_copy(ret, ranges_remove(ret, offset, length));
}

void discarded_replace(struct ranges *now, struct ranges *next, int result)
{
    struct ranges old = result == 0 ? *now : *next;

    if (result == 0)
        *now = *next;
    ranges_deinit(&old);
}
