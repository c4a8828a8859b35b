// Questions that several commands ask.  Each is asked as ctl_call does: the reply has the body that fits, or is NULL
// after a complaint, and *RET_STATUS is the exit status so far.
#pragma once
#include "client/ctl/ctl.h"

Diskalloc__V1__Reply *query_status(struct ctl *ctl, int *ret_status);
// Pages of lists: of the regions (with --user, of that user), the accounts, and the limits.
Diskalloc__V1__Reply *query_regions(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status);
Diskalloc__V1__Reply *query_usages(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status);
Diskalloc__V1__Reply *query_quotas(struct ctl *ctl, ProtobufCBinaryData cursor, int *ret_status);
// The first disk as S has it itself, for a daemon that has one disk or does not list them.  It points into S.
void query_first_disk(const Diskalloc__V1__Status *s, Diskalloc__V1__Disk *ret);
// Whether somebody has set this limit while the daemon ran.
bool query_is_set_at_run_time(const Diskalloc__V1__QuotaValue *v);
