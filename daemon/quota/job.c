// Jobs, in a tree by their paths.
#include "daemon/quota/job.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/quota/quota_internal.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

static int compare_jobs(const struct quota_job *a, const struct quota_job *b)
{
    return strcmp(a->path, b->path);
}

// The branches are those of functions of libbsd, of which only a few are called.
TREE_GENERATE(quota_jobs, quota_job, node, compare_jobs) // GCOVR_EXCL_BR_LINE

struct quota_job *quota_job_ref(struct quota *q, const char *path, bool *ret_is_new)
{
    struct quota_job wanted = {.path = (char *)path}, *j = RB_FIND(quota_jobs, &q->jobs, &wanted);

    *ret_is_new = !j;
    if (!j) {
        _cleanup_free_ char *copy = strdup(path);

        j = copy ? calloc(1, sizeof *j) : NULL;
        if (!j)
            return NULL;
        j->quota = q;
        j->path = steal(&copy);
        RB_INSERT(quota_jobs, &q->jobs, j);
    }
    j->n_refs++;
    return j;
}

void quota_job_unref(struct quota_job *j)
{
    if (!j)
        return;
    assert(j->n_refs > 0);
    if (--j->n_refs > 0)
        return;
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++)
        assert(j->held[r] == 0);
    RB_REMOVE(quota_jobs, &j->quota->jobs, j);
    free(j->accounts);
    free(j->path);
    free(j);
}

const char *quota_job_path(const struct quota_job *j)
{
    return j->path;
}

bool quota_job_is_counted(const struct quota_job *j)
{
    return j && j->n_accounts > 0;
}

struct quota_job *quota_job_next(struct quota *q, struct quota_job *after)
{
    return after ? RB_NEXT(quota_jobs, &q->jobs, after) : RB_MIN(quota_jobs, &q->jobs);
}

int quota_job_set_accounts(struct quota_job *j, struct quota_account *const *accounts, size_t n)
{
    struct quota_account **copy = calloc(n + 1, sizeof(struct quota_account *));

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        copy[i] = accounts[i];
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++) {
        for (size_t i = 0; i < j->n_accounts; i++)
            j->accounts[i]->used[r] -= j->held[r];
        for (size_t i = 0; i < n; i++)
            copy[i]->used[r] += j->held[r];
    }
    for (size_t i = 0; i < j->n_accounts; i++)
        quota_account_use_has_changed(j->accounts[i]);
    for (size_t i = 0; i < n; i++)
        quota_account_use_has_changed(copy[i]);
    free(j->accounts);
    j->accounts = copy;
    j->n_accounts = n;
    return 0;
}
