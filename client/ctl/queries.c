// Questions that several commands ask: see queries.h.
#include "client/ctl/queries.h"

#include <string.h>

#include "proto/field.h"

Diskalloc__V1__Reply *query_status(struct ctl *ctl, int *ret_status)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__GetStatus get = DISKALLOC__V1__GET_STATUS__INIT;

    request.body_case = DISKALLOC__V1__REQUEST__BODY_GET_STATUS;
    request.get_status = &get;
    return ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_STATUS, ret_status);
}

Diskalloc__V1__Reply *query_regions(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__ListRegions get = DISKALLOC__V1__LIST_REGIONS__INIT;

    if (ctl->user)
        get.user = field_text(ctl->user);
    get.cursor = cursor;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS;
    request.list_regions = &get;
    return ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_REGION_LIST, ret_status);
}

Diskalloc__V1__Reply *query_usages(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__ListUsage get = DISKALLOC__V1__LIST_USAGE__INIT;

    get.cursor = cursor;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_USAGE;
    request.list_usage = &get;
    return ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_USAGE_LIST, ret_status);
}

Diskalloc__V1__Reply *query_quotas(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__ListQuota get = DISKALLOC__V1__LIST_QUOTA__INIT;

    get.cursor = cursor;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_LIST_QUOTA;
    request.list_quota = &get;
    return ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_QUOTA_LIST, ret_status);
}

bool query_is_set_at_run_time(const Diskalloc__V1__QuotaValue *v)
{
    static const char set[] = "set at run time";

    return v->origin.len == strlen(set) && memcmp(v->origin.data, set, strlen(set)) == 0;
}
