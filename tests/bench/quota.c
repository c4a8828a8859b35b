// The cost of quotas: a charge and its release, with few and with many accounts, against the round trip of a grow
// that they are part of.  Prints ratios of medians; no test.
#include "daemon/quota/quota.h"
#include "daemon/quota/charge.h"

#include <diskalloc/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/harness.h"
#include "tests/lib/test_daemon.h"

enum {
    ROUNDS = 9,
    CHARGES = 200000,
    GROWS = 2000,
    STEP = 1 << 20,
    MANY = 100000,
};

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

// ns for one charge of bytes and its release, the users taken at random among N_USERS that are known.
static double charge_and_release(unsigned n_users)
{
    struct quota *q = quota_new();
    struct quota_account *group = quota_group(q, 1);
    struct quota_user **users = calloc(n_users, sizeof(struct quota_user *));
    struct quota_charge *charges = calloc(n_users, sizeof *charges);
    struct quota_refusal refusal;
    double begin, result;
    unsigned seed = 1;

    if (!q || !group || !users || !charges)
        exit(1);
    for (unsigned i = 0; i < n_users; i++) {
        users[i] = quota_user_ref(q, i);
        quota_user_set_groups(users[i], &group, 1);
        quota_charge_init(&charges[i], users[i]);
    }
    begin = now_ns();
    for (unsigned i = 0; i < CHARGES; i++) {
        struct quota_charge *c = &charges[(seed = seed * 1664525u + 1013904223u) % n_users];

        quota_charge_add(c, QUOTA_BYTES, 4096, &refusal);
        quota_charge_sub(c, QUOTA_BYTES, 4096);
    }
    result = (now_ns() - begin) / CHARGES;
    for (unsigned i = 0; i < n_users; i++) {
        quota_charge_deinit(&charges[i]);
        quota_user_unref(users[i]);
    }
    free(charges);
    free(users);
    quota_free(q);
    return result;
}

// ns for a grow by 1 MiB through a daemon.
static double grow_round_trip(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;
    double begin, result;

    if (diskalloc_region_create(da, NULL, &r) < 0)
        exit(1);
    begin = now_ns();
    for (uint64_t i = 1; i <= GROWS; i++)
        if (diskalloc_region_resize(r, i * STEP) < 0)
            exit(1);
    result = (now_ns() - begin) / GROWS;
    diskalloc_region_close(r);
    return result;
}

int main(void)
{
    double few[ROUNDS], many[ROUNDS], grow[ROUNDS];
    struct test_daemon d;
    struct diskalloc *da = NULL;

    test_daemon_start(&d, "[daemon]\nkeep_free = 0\n", NULL);
    if (diskalloc_open(d.address, NULL, &da) < 0)
        return 1;
    for (int i = 0; i < ROUNDS; i++) {
        few[i] = charge_and_release(10);
        many[i] = charge_and_release(MANY);
        grow[i] = grow_round_trip(da);
    }
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
    printf("charge + release: %.0f ns with 10 accounts, %.0f ns with %d\n", median(few), median(many), MANY);
    printf("grow by 1 MiB:    %.0f ns, of which charging is %.2f %%\n", median(grow),
           100 * median(many) / median(grow));
    return 0;
}
