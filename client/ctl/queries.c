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

void query_first_disk(const Diskalloc__V1__Status *s, Diskalloc__V1__Disk *ret)
{
    diskalloc__v1__disk__init(ret);
    ret->dir = s->spill_dir;
    ret->in_use = true;
    ret->file_system = s->file_system;
    ret->guarantee = s->guarantee;
    ret->guarantee_reason = s->guarantee_reason;
    ret->total = s->disk_total;
    ret->available = s->disk_available;
    ret->keep_free = s->keep_free;
    ret->bytes = s->bytes;
    ret->foreign_files = s->foreign_files;
    ret->unreadable_files = s->unreadable_files;
    ret->lacking_blocks = s->lacking_blocks;
    ret->inodes = s->disk_inodes;
    ret->inodes_available = s->disk_inodes_available;
    ret->fs_quota_limit = s->fs_quota_limit;
    ret->fs_quota_used = s->fs_quota_used;
    ret->problem = s->problem;
    ret->fences = s->fences;
    ret->fences_missing = s->fences_missing;
}

bool query_is_set_at_run_time(const Diskalloc__V1__QuotaValue *v)
{
    static const char set[] = "set at run time";

    return v->origin.len == strlen(set) && memcmp(v->origin.data, set, strlen(set)) == 0;
}
