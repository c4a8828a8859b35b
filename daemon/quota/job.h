// Jobs: programs of one control group.  Their charges count, beside the accounts of their users, in an account of each
// configured control group that theirs is, or lies below.  Pure, as quota.h.
#pragma once
#include "daemon/quota/quota.h"

struct quota_job; // refcounted

// The job of the control group PATH ("/batch.slice/job-7.scope"), found or made; *RET_IS_NEW: it was made, and counts
// in no account yet.  NULL: no memory.
struct quota_job *quota_job_ref(struct quota *q, const char *path, bool *ret_is_new);
void quota_job_unref(struct quota_job *j); // NULL is fine
const char *quota_job_path(const struct quota_job *j);
bool quota_job_is_counted(const struct quota_job *j); // in some account; false for NULL
// The next job, in the order of the paths; NULL as AFTER: the first one; NULL: there are no more.
struct quota_job *quota_job_next(struct quota *q, struct quota_job *after);
// Sets the accounts that the job's charges count in.  Present charges move from the old to the new ones, whatever
// their limits.  0; or -ENOMEM and nothing has changed.
int quota_job_set_accounts(struct quota_job *j, struct quota_account *const *accounts, size_t n);
