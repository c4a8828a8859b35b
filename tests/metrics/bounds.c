// With any number of users and regions the metrics have a bounded number of accounts, and a look takes a bounded time.
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/metrics/accounts.h"
#include "daemon/metrics/biggest.h"
#include "daemon/metrics/history.h"
#include "daemon/metrics/metrics.h"
#include "daemon/metrics/source.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/clock.h"
#include "tests/lib/harness.h"
#include "tests/lib/op_fixture.h"

enum { USERS = 300, FIRST_UID = 5000 };

struct scene {
    struct fixture f;
    struct config config;
    struct config_subject subject, *subjects[1];
    struct user *users[USERS];
    struct quota_charge charges[USERS];
    struct store_space space;
    struct store_health health;
    struct metrics_disk disk;
    struct metrics_source source;
};

static void charge(struct scene *s, int i, uint64_t bytes)
{
    struct quota_refusal refusal;

    assert_int_equal(quota_charge_add(&s->charges[i], QUOTA_BYTES, bytes, &refusal), 0);
    assert_int_equal(quota_charge_add(&s->charges[i], QUOTA_REGIONS, 1, &refusal), 0);
}

// User I has I + 1 bytes; the configuration has a section for user 0.
static void scene_init(struct scene *s)
{
    memset(s, 0, sizeof *s);
    fixture_init(&s->f);
    s->subject = (struct config_subject){.kind = CONFIG_USER, .known = true, .id = FIRST_UID};
    s->subjects[0] = &s->subject;
    s->config.subjects = s->subjects;
    s->config.n_subjects = 1;
    for (int i = 0; i < USERS; i++) {
        s->users[i] = user_ref(s->f.users, FIRST_UID + (uid_t)i);
        assert_non_null(s->users[i]);
        quota_charge_init(&s->charges[i], s->users[i]->quota);
        charge(s, i, (uint64_t)i + 1);
    }
    s->disk = (struct metrics_disk){.path = "/spill",
                                    .guarantee = store_guarantee(s->f.env.disks->store),
                                    .space = &s->space,
                                    .health = &s->health};
    s->source = (struct metrics_source){.op = &s->f.env,
                                        .quota = s->f.quota,
                                        .users = s->f.users,
                                        .config = &s->config,
                                        .disks = &s->disk,
                                        .n_disks = 1,
                                        .available = 77};
}

static void scene_deinit(struct scene *s)
{
    for (int i = 0; i < USERS; i++) {
        quota_charge_deinit(&s->charges[i]);
        user_unref(s->users[i]);
    }
    fixture_deinit(&s->f);
}

static const struct shown_account *find(const struct shown_accounts *all, enum quota_kind kind, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].kind == kind && strcmp(all->items[i].name, name) == 0)
            return &all->items[i];
    return NULL;
}

static void the_largest_users_and_the_configured_ones_are_shown_and_the_others_as_one(void **state)
{
    struct scene *s = malloc(sizeof *s);
    struct shown_accounts *all = malloc(sizeof *all);
    const struct shown_account *rest;
    uint64_t sum = 0;
    char name[20];

    (void)state;
    assert_true(s && all);
    scene_init(s);
    accounts_collect(&s->source, all);
    for (int i = 0; i < USERS; i++) {
        bool shown = i == 0 || i >= USERS - ACCOUNTS_OF_USERS;
        const struct shown_account *a;

        snprintf(name, sizeof name, "+%d", FIRST_UID + i);
        a = find(all, QUOTA_KIND_USER, name);
        assert_int_equal(a != NULL, shown);
        if (shown)
            assert_int_equal(a->used[QUOTA_BYTES], i + 1);
        else
            sum += (uint64_t)i + 1;
    }
    rest = find(all, QUOTA_KIND_N, "");
    assert_non_null(rest);
    assert_int_equal(rest->used[QUOTA_BYTES], sum);
    assert_int_equal(rest->used[QUOTA_REGIONS], USERS - ACCOUNTS_OF_USERS - 1);
    assert_int_equal(all->n_users, USERS + 1); // and the fixture's own
    assert_int_equal(all->hidden[QUOTA_KIND_USER], all->n_users - ACCOUNTS_OF_USERS - 1);
    assert_int_equal(find(all, QUOTA_KIND_TOTAL, "")->used[QUOTA_BYTES], USERS * (USERS + 1) / 2);
    scene_deinit(s);
    free(s);
    free(all);
}

static void a_configured_user_without_an_account_of_its_own_is_no_user_of_the_sum(void **state)
{
    struct scene *s = malloc(sizeof *s);
    struct shown_accounts *all = malloc(sizeof *all);
    const struct shown_account *rest;

    (void)state;
    assert_true(s && all);
    scene_init(s);
    // Its section is there, and the user database has not been asked since.
    s->users[0]->shared_account = quota_unlisted(s->f.quota);
    accounts_collect(&s->source, all);
    assert_null(find(all, QUOTA_KIND_USER, "+5000"));
    rest = find(all, QUOTA_KIND_N, "");
    assert_non_null(rest);
    assert_int_equal(rest->used[QUOTA_REGIONS], USERS - ACCOUNTS_OF_USERS - 1);
    assert_int_equal(all->hidden[QUOTA_KIND_USER], all->n_users - ACCOUNTS_OF_USERS);
    scene_deinit(s);
    free(s);
    free(all);
}

static void groups_beyond_the_bound_are_hidden_and_counted(void **state)
{
    struct scene *s = malloc(sizeof *s);
    struct shown_accounts *all = malloc(sizeof *all);
    size_t n = 0;

    (void)state;
    assert_true(s && all);
    scene_init(s);
    for (int i = 0; i < 150; i++) {
        struct quota_account *group = quota_group(s->f.quota, (gid_t)(100 + i));

        assert_non_null(group);
        assert_int_equal(quota_user_set_groups(s->users[i]->quota, &group, 1), 0);
    }
    accounts_collect(&s->source, all);
    for (size_t i = 0; i < all->n; i++)
        n += all->items[i].kind == QUOTA_KIND_GROUP;
    assert_int_equal(n, ACCOUNTS_OF_A_KIND);
    assert_int_equal(all->hidden[QUOTA_KIND_GROUP], 50);
    assert_null(find(all, QUOTA_KIND_GROUP, "+100")); // its user has least
    assert_non_null(find(all, QUOTA_KIND_GROUP, "+249"));
    assert_true(all->n <= ACCOUNTS_MOST);
    scene_deinit(s);
    free(s);
    free(all);
}

static struct region *add_region(struct scene *s, uint32_t number, uint64_t bytes)
{
    struct record record = {0};
    struct quota_refusal refusal;
    struct region *r;

    memcpy(record.handle.bytes, &number, sizeof number);
    r = region_add(&s->f.regions, &record, s->users[0]);
    assert_non_null(r);
    r->state = REGION_LIVE;
    assert_int_equal(quota_charge_add(&r->charge, QUOTA_BYTES, bytes, &refusal), 0);
    return r;
}

static void remove_regions(struct scene *s)
{
    struct region *r;

    while ((r = region_next(&s->f.regions, NULL))) {
        region_remove(&s->f.regions, r);
        region_free(r);
    }
}

static void the_biggest_of_many_regions_are_found_bit_by_bit(void **state)
{
    enum { N = 12000, TICKS = 3 };
    struct scene *s = malloc(sizeof *s);
    struct biggest b = {0};
    uint64_t now = 1000;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    for (uint32_t i = 0; i < N; i++)
        add_region(s, i, 1 + (uint64_t)i * 7919 % N);
    biggest_tick(&b, &s->f.regions, now);
    assert_false(b.has_cursor); // nobody has looked
    biggest_want(&b, &s->f.regions, now);
    assert_false(b.is_whole);
    for (int i = 1; i < TICKS; i++)
        biggest_tick(&b, &s->f.regions, now);
    assert_true(b.is_whole);
    for (size_t i = 0; i < BIGGEST_MOST; i++)
        assert_int_equal(biggest_region(&b, &s->f.regions, i)->charge.amount[QUOTA_BYTES], N - i);
    assert_null(biggest_region(&b, &s->f.regions, BIGGEST_MOST));
    // A minute later nobody looks any more.
    biggest_tick(&b, &s->f.regions, now + 61 * 1000);
    assert_false(b.is_whole);
    remove_regions(s);
    scene_deinit(s);
    free(s);
}

static void few_regions_are_shown_as_they_are_now(void **state)
{
    struct scene *s = malloc(sizeof *s);
    struct biggest b = {0};
    struct region *r;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    r = add_region(s, 1, 100);
    biggest_want(&b, &s->f.regions, 1000);
    assert_ptr_equal(biggest_region(&b, &s->f.regions, 0), r);
    r = add_region(s, 2, 200);
    biggest_want(&b, &s->f.regions, 1001);
    assert_ptr_equal(biggest_region(&b, &s->f.regions, 0), r);
    region_remove(&s->f.regions, r);
    region_free(r);
    assert_null(biggest_region(&b, &s->f.regions, 0));
    remove_regions(s);
    scene_deinit(s);
    free(s);
}

static void the_history_keeps_an_hour(void **state)
{
    struct scene *s = malloc(sizeof *s);
    struct history *h = calloc(1, sizeof *h);
    struct output o = {0};
    uint64_t now = 5000;

    (void)state;
    assert_true(s && h);
    scene_init(s);
    history_tick(h, &s->source, now);
    history_tick(h, &s->source, now + HISTORY_STEP_SECONDS * 1000 - 1);
    assert_int_equal(h->n, 1);
    s->f.env.tally.results[TALLY_GROW][TALLY_DONE] += 30;
    for (int i = 0; i < 2; i++)
        tally_note(&s->f.env.tally.operations[TALLY_GROW], 100);
    history_tick(h, &s->source, now + HISTORY_STEP_SECONDS * 1000);
    assert_int_equal(h->n, 2);
    assert_int_equal(h->samples[1][HISTORY_OPERATIONS], 30);
    assert_int_equal(h->samples[1][HISTORY_BUSY_US], 100);
    assert_int_equal(h->samples[1][HISTORY_BYTES], USERS * (USERS + 1) / 2);
    assert_int_equal(h->samples[1][HISTORY_AVAILABLE], 77);
    for (int i = 2; i < 2 * HISTORY_SAMPLES; i++)
        history_tick(h, &s->source, now += HISTORY_STEP_SECONDS * 1000);
    charge(s, 0, 1);
    history_tick(h, &s->source, now + HISTORY_STEP_SECONDS * 1000);
    history_write(h, &o);
    output_bytes(&o, "", 1);
    assert_false(o.failed);
    // The oldest sample comes first, and the newest last.
    assert_non_null(strstr(o.data, ",\"regions\":[300,"));
    assert_non_null(strstr(o.data, ",301],\"connections\""));
    free(o.data);
    free(h);
    scene_deinit(s);
    free(s);
}

// Three disks whose paths make each family of theirs long.
static void add_disks(struct scene *s, struct metrics_disk disks[3], char paths[3][1000])
{
    for (int i = 0; i < 3; i++) {
        disks[i] = s->disk;
        memset(paths[i], 'a' + i, sizeof paths[i]);
        paths[i][sizeof paths[i] - 1] = '\0';
        disks[i].path = paths[i];
    }
    s->source.disks = disks;
    s->source.n_disks = 3;
}

static void what_others_see_of_many_disks_comes_in_parts_of_whole_families(void **state)
{
    enum { MOST = 5000 };
    struct scene *s = malloc(sizeof *s);
    struct metrics_disk disks[3];
    char paths[3][1000];
    struct output whole, text = {0}, part;
    size_t next = 0;
    unsigned n = 0;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    add_disks(s, disks, paths);
    assert_int_equal(metrics_write_for(&s->source, s->users[1], METRICS_OPENMETRICS, 0, 1 << 20, &whole), 0);
    do {
        next = metrics_write_for(&s->source, s->users[1], METRICS_OPENMETRICS, next, MOST, &part);
        assert_false(part.failed);
        assert_in_range(part.n, 1, MOST + 16);
        assert_int_equal(memcmp(part.data, "# TYPE ", 7), 0);
        output_bytes(&text, part.data, part.n);
        free(part.data);
        n++;
    } while (next);
    assert_in_range(n, 4, 20);
    assert_int_equal(text.n, whole.n);
    assert_int_equal(memcmp(text.data, whole.data, text.n), 0);
    free(text.data);
    free(whole.data);
    // A family that is longer than a part comes alone.
    next = metrics_write_for(&s->source, s->users[1], METRICS_TEXT, 0, 1, &part);
    assert_int_equal(next, 1);
    assert_true(part.n > 1);
    free(part.data);
    // Behind the last one is the end.
    assert_int_equal(metrics_write_for(&s->source, s->users[1], METRICS_OPENMETRICS, 1000, MOST, &part), 0);
    assert_int_equal(part.n, strlen("# EOF\n"));
    free(part.data);
    scene_deinit(s);
    free(s);
}

static void what_is_given_out_is_a_second_old_at_most_and_found_again(void **state)
{
    struct scene *s = malloc(sizeof *s);
    struct metrics *m;
    struct snapshot *first, *again;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    assert_int_equal(metrics_new(&m), 0);
    first = metrics_snapshot(m, &s->source, METRICS_TEXT);
    again = metrics_snapshot(m, &s->source, METRICS_TEXT);
    assert_ptr_equal(first, again);
    assert_ptr_equal(metrics_find_snapshot(m, first->number), first);
    snapshot_unref(again);
    first->made_at -= SNAPSHOT_MS + 1;
    again = metrics_snapshot(m, &s->source, METRICS_TEXT);
    assert_ptr_not_equal(first, again);
    assert_ptr_equal(metrics_find_snapshot(m, first->number), first);
    assert_null(metrics_find_snapshot(m, again->number + 1));
    snapshot_unref(again);
    metrics_free(m);
    // Who was given it still has it.
    assert_int_equal(memcmp(first->data, "# TYPE ", 7), 0);
    snapshot_unref(first);
    scene_deinit(s);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_largest_users_and_the_configured_ones_are_shown_and_the_others_as_one),
        TEST(a_configured_user_without_an_account_of_its_own_is_no_user_of_the_sum),
        TEST(groups_beyond_the_bound_are_hidden_and_counted),
        TEST(the_biggest_of_many_regions_are_found_bit_by_bit),
        TEST(few_regions_are_shown_as_they_are_now),
        TEST(the_history_keeps_an_hour),
        TEST(what_others_see_of_many_disks_comes_in_parts_of_whole_families),
        TEST(what_is_given_out_is_a_second_old_at_most_and_found_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
