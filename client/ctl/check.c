// `diskallocctl check`: compares usage with percentages of the limits.  Prints one line and ends with an exit status as
// the plugins of Nagios and of other monitoring systems do.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/subject.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/size.h"
#include "proto/util/text.h"

enum state { STATE_OK, STATE_WARNING, STATE_CRITICAL, STATE_UNKNOWN };

enum {
    ANSWER_SECONDS = 10, // for each answer, without --timeout: Nagios waits 10 seconds or longer for a plugin
};

struct measure {
    char name[TEXT_MAX]; // "own bytes"
    bool is_bytes;       // bytes, not a number of regions or connections
    uint64_t used, limit;
};

struct check {
    unsigned warn, crit; // percent
    struct measure *measures;
    size_t n, n_room;
    size_t n_accounts;
    bool everything;        // with --all: the caller may see all accounts
    bool failed;            // memory has run out
    char problem[TEXT_MAX]; // why the daemon grants nothing; "": it does
};

static const char *const state_names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

int check_unknown(const struct ctl *ctl)
{
    const char *why = *ctl_last_complaint() ? ctl_last_complaint() : "wrong usage; see diskallocctl --help";

    if (ctl->json)
        ctl_print_json(json_pack("{ss, si, so}", "state", state_names[STATE_UNKNOWN], "status", (int)STATE_UNKNOWN,
                                 "message", text_json_bytes(why, strlen(why))));
    else
        printf("DISKALLOC UNKNOWN - %s\n", why);
    return STATE_UNKNOWN;
}

static bool parse_percent(const char *option, const char *text, unsigned *ret)
{
    char escaped[TEXT_MAX];
    const char *end;
    uint64_t percent;

    if (digits_parse(text, 10, &percent, &end) == 0 && (!*end || strcmp(end, "%") == 0) && percent <= 100) {
        *ret = (unsigned)percent;
        return true;
    }
    ctl_complain("%s %s: the option takes a percentage from 0 to 100, as in check -w 80 -c 95", option,
                 text_escape(text, strlen(text), escaped));
    return false;
}

static bool parse_thresholds(const struct ctl *ctl, struct check *c)
{
    if (!parse_percent("--warn", ctl->warn ? ctl->warn : "80%", &c->warn) ||
        !parse_percent("--crit", ctl->crit ? ctl->crit : "95%", &c->crit))
        return false;
    if (c->warn <= c->crit)
        return true;
    ctl_complain("--warn %u%% is above --crit %u%%; use them as in check -w 80 -c 95", c->warn, c->crit);
    return false;
}

// PERCENT of LIMIT, rounded up: the lowest usage that counts as a warning, or as critical.
static uint64_t threshold(uint64_t limit, unsigned percent)
{
    return limit / 100 * percent + (limit % 100 * percent + 99) / 100;
}

static enum state judge(const struct check *c, const struct measure *m)
{
    if (m->limit == UINT64_MAX || m->used == 0)
        return STATE_OK;
    if (m->used >= threshold(m->limit, c->crit))
        return STATE_CRITICAL;
    return m->used >= threshold(m->limit, c->warn) ? STATE_WARNING : STATE_OK;
}

static struct measure *new_measure(struct check *c)
{
    if (c->n == c->n_room) {
        size_t n = c->n_room ? 2 * c->n_room : 16;
        struct measure *measures = reallocarray(c->measures, n, sizeof(*measures));

        if (!measures) {
            c->failed = true;
            return NULL;
        }
        c->measures = measures;
        c->n_room = n;
    }
    return &c->measures[c->n++];
}

static void measure(struct check *c, const char *whose, const char *what, uint64_t used, uint64_t limit)
{
    struct measure *m = new_measure(c);
    char text[TEXT_MAX];

    if (!m)
        return;
    // Labels of performance data stand between apostrophes.
    text_escape(whose, strlen(whose), text);
    for (char *quote = text; (quote = strchr(quote, '\'')); quote++)
        *quote = '?';
    snprintf(m->name, sizeof(m->name), "%.900s%s%s", text, *what ? " " : "", what);
    m->is_bytes = !*what || strcmp(what, "bytes") == 0 || strcmp(what, "quota") == 0;
    m->used = used;
    m->limit = limit;
}

static void measure_account(struct check *c, const char *whose, const Diskalloc__V1__Usage *u)
{
    measure(c, whose, "bytes", u->bytes, u->bytes_limit);
    measure(c, whose, "regions", u->regions, u->regions_limit);
    measure(c, whose, "connections", u->connections, u->connections_limit);
    c->n_accounts++;
}

// False after a complaint: the daemon did not tell.
static bool look_at_usage(struct ctl *ctl, struct check *c, const char *whose, const char *subject)
{
    int status;
    Diskalloc__V1__Reply *reply = subject_ask(ctl, subject, &status);

    if (!reply)
        return false;
    measure_account(c, whose, reply->usage);
    session_free_reply(reply);
    return true;
}

static ProtobufCBinaryData *add_page(struct list *l, const Diskalloc__V1__Reply *reply)
{
    const Diskalloc__V1__UsageList *page = reply->usage_list;
    struct check *c = l->data;
    char subject[TEXT_MAX];

    c->everything = page->everything;
    for (size_t i = 0; i < page->n_usages; i++)
        measure_account(c, text_escape(page->usages[i]->subject.data, page->usages[i]->subject.len, subject),
                        page->usages[i]);
    return &reply->usage_list->next_cursor;
}

static bool look_at_all(struct ctl *ctl, struct check *c)
{
    static const struct list_kind kind = {NULL, NULL, 0, query_usages, add_page};

    if (list_fetch(ctl, &kind, c) != EXIT_DONE)
        return false;
    if (!c->everything)
        ctl_complain(
            "only administrators see all subjects: add the user that runs this check to the daemon's admin_group "
            "(diskalloc, unless the configuration says otherwise), or name subjects");
    return c->everything;
}

// A measure that most disks have plenty of is left out of the line.
static void measure_if_high(struct check *c, const char *whose, const char *what, uint64_t used, uint64_t limit)
{
    measure(c, whose, what, used, limit);
    if (!c->failed && judge(c, &c->measures[c->n - 1]) == STATE_OK)
        c->n--;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

// Of several disks, those that are nearly full: the sum over all disks does not show it.
static void measure_disk(struct check *c, const Diskalloc__V1__Disk *d)
{
    char dir[TEXT_MAX], name[TEXT_MAX];

    if (!d->in_use)
        return;
    snprintf(name, sizeof(name), "disk %.900s", text_escape(d->dir.data, d->dir.len, dir));
    if (d->total > 0)
        measure_if_high(c, name, "", less(d->total, d->available), less(d->total, d->keep_free));
    if (d->inodes > 0)
        measure_if_high(c, name, "inodes", less(d->inodes, d->inodes_available), d->inodes);
    if (d->fs_quota_limit > 0)
        measure_if_high(c, name, "quota", d->fs_quota_used, d->fs_quota_limit);
}

static void measure_only_disk(struct check *c, const Diskalloc__V1__Status *s)
{
    if (s->disk_inodes > 0)
        measure_if_high(c, "disk", "inodes", less(s->disk_inodes, s->disk_inodes_available), s->disk_inodes);
    if (s->fs_quota_limit > 0)
        measure_if_high(c, "file system", "quota", s->fs_quota_used, s->fs_quota_limit);
}

// Measures the disks, and looks whether the daemon can use them.  Their limit is the size without keep_free, which is
// never granted.  False after a complaint.
static bool look_at_disk(struct ctl *ctl, struct check *c)
{
    const Diskalloc__V1__Status *s;
    int status;
    Diskalloc__V1__Reply *reply = query_status(ctl, &status);

    if (!reply)
        return false;
    s = reply->status;
    if (s->disk_total > 0)
        measure(c, "disk", "", less(s->disk_total, s->disk_available), less(s->disk_total, s->keep_free));
    if (s->n_disks <= 1)
        measure_only_disk(c, s);
    for (size_t i = 0; s->n_disks > 1 && i < s->n_disks; i++)
        measure_disk(c, s->disks[i]);
    text_escape(s->problem.data, s->problem.len, c->problem);
    session_free_reply(reply);
    return true;
}

static unsigned percent_of(const struct measure *m)
{
    double percent = m->limit > 0 ? 100.0 * (double)m->used / (double)m->limit : m->used > 0 ? 100 : 0;

    return percent < 1e6 ? (unsigned)percent : 1000000;
}

static void print_measure(const struct measure *m)
{
    char used[TEXT_MAX], limit[TEXT_MAX];

    if (m->limit == UINT64_MAX)
        printf("%s %s", m->name, text_size(m->used, m->is_bytes, used));
    else
        printf("%s %u%% (%s of %s)", m->name, percent_of(m), text_size(m->used, m->is_bytes, used),
               text_size(m->limit, m->is_bytes, limit));
}

static void print_performance(const struct check *c, const struct measure *m)
{
    printf(" '%s'=%llu%s", m->name, (unsigned long long)m->used, m->is_bytes ? "B" : "");
    if (m->limit != UINT64_MAX)
        printf(";%llu;%llu;0;%llu", (unsigned long long)threshold(m->limit, c->warn),
               (unsigned long long)threshold(m->limit, c->crit), (unsigned long long)m->limit);
}

// With --all the line would be too long for a pager, and for some monitoring systems: what is well is only counted.
static bool is_shown(const struct ctl *ctl, const struct measure *m, enum state state)
{
    return !ctl->all || state != STATE_OK || strncmp(m->name, "total ", 6) == 0 || strcmp(m->name, "disk") == 0;
}

static bool is_measured(const struct ctl *ctl, const struct measure *m)
{
    return !ctl->all || m->is_bytes;
}

// The worst measures come first, because messages on pagers are cut off.
static void print_text(const struct ctl *ctl, const struct check *c, enum state worst)
{
    const char *separator = " - ";

    printf("DISKALLOC %s", state_names[worst]);
    if (*c->problem) {
        printf("%s%s", separator, c->problem);
        separator = ", ";
    }
    for (int state = STATE_CRITICAL; state >= STATE_OK; state--)
        for (size_t i = 0; i < c->n; i++) {
            if ((int)judge(c, &c->measures[i]) != state || !is_shown(ctl, &c->measures[i], (enum state)state))
                continue;
            fputs(separator, stdout);
            print_measure(&c->measures[i]);
            separator = ", ";
        }
    if (ctl->all)
        printf("%s%zu subjects", separator, c->n_accounts);
    fputs(" |", stdout);
    for (size_t i = 0; i < c->n; i++)
        if (is_measured(ctl, &c->measures[i]))
            print_performance(c, &c->measures[i]);
    putchar('\n');
}

static void print_json(const struct check *c, enum state worst)
{
    json_t *array = json_array();

    for (size_t i = 0; i < c->n; i++) {
        const struct measure *m = &c->measures[i];

        json_array_append_new(array, json_pack("{ss, so, so, so, ss}", "name", m->name, "used",
                                               text_json_number(m->used), "limit", text_json_limit(m->limit), "percent",
                                               m->limit == UINT64_MAX ? json_null() : json_integer(percent_of(m)),
                                               "state", state_names[judge(c, m)]));
    }
    ctl_print_json(json_pack("{ss, so, si, si, si, so}", "state", state_names[worst], "problem",
                             text_json_bytes(c->problem, strlen(c->problem)), "status", (int)worst, "warn_percent",
                             (int)c->warn, "crit_percent", (int)c->crit, "checks", array));
}

// A daemon of an earlier version shows the total to administrators only.  False after a complaint.
static bool look_at_total(struct ctl *ctl, struct check *c)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__GetUsage get = DISKALLOC__V1__GET_USAGE__INIT;
    Diskalloc__V1__Reply *reply;
    bool fine;

    get.subject = field_text("total");
    request.body_case = DISKALLOC__V1__REQUEST__BODY_GET_USAGE;
    request.get_usage = &get;
    if (ctl_ask(ctl, &request, &reply) != EXIT_DONE)
        return false;
    fine = !reply->error || reply->error->code == DISKALLOC__V1__ERROR_CODE__ACCESS;
    if (!fine)
        ctl_complain_of_error(NULL, reply->error);
    else if (reply->body_case == DISKALLOC__V1__REPLY__BODY_USAGE)
        measure_account(c, "total", reply->usage);
    session_free_reply(reply);
    return fine;
}

static bool look_at_accounts(struct ctl *ctl, struct check *c)
{
    if (ctl->all && ctl->n_args > 0) {
        ctl_complain("check takes subjects or --all, not both");
        return false;
    }
    if (ctl->all)
        return look_at_all(ctl, c);
    if (ctl->n_args == 0)
        return look_at_usage(ctl, c, "own", "") && look_at_total(ctl, c);
    for (int i = 0; i < ctl->n_args; i++)
        if (!subject_check(ctl->args[i]) || !look_at_usage(ctl, c, ctl->args[i], ctl->args[i]))
            return false;
    return true;
}

static int judge_all(const struct ctl *ctl, const struct check *c)
{
    enum state worst = STATE_OK;

    for (size_t i = 0; i < c->n; i++)
        if (judge(c, &c->measures[i]) > worst)
            worst = judge(c, &c->measures[i]);
    if (*c->problem)
        worst = STATE_CRITICAL;
    if (ctl->json)
        print_json(c, worst);
    else
        print_text(ctl, c, worst);
    return (int)worst;
}

int check_run(struct ctl *ctl)
{
    struct check c = {0};
    bool fine;
    int state;

    if (ctl->timeout_seconds == 0)
        ctl->timeout_seconds = ANSWER_SECONDS;
    fine = parse_thresholds(ctl, &c) && look_at_accounts(ctl, &c) && look_at_disk(ctl, &c);
    if (fine && c.failed)
        ctl_complain("out of memory");
    state = fine && !c.failed ? judge_all(ctl, &c) : check_unknown(ctl);
    free(c.measures);
    return state;
}
