// `diskallocctl check`: compares usage with percentages of the limits.  Prints one line and ends with an exit status as
// the plugins of Nagios and of other monitoring systems do.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/field.h"
#include "proto/util/checked.h"
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
    unsigned warn, crit;      // percent
    struct measure *measures; // room for three of each account, and three of the disk
    size_t n;
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

    if (digits_parse(text, 10, &percent, &end) == 0 && strcmp(end, "%") == 0 && percent <= 100) {
        *ret = (unsigned)percent;
        return true;
    }
    ctl_complain("%s %s: the option takes a percentage from 0%% to 100%%, as in check --warn 80%% --crit 95%%", option,
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
    ctl_complain("--warn %u%% is above --crit %u%%; use them as in check --warn 80%% --crit 95%%", c->warn, c->crit);
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

static void measure(struct check *c, const char *whose, const char *what, uint64_t used, uint64_t limit)
{
    struct measure *m = &c->measures[c->n++];
    char text[TEXT_MAX];

    // Labels of performance data stand between apostrophes.
    text_escape(whose, strlen(whose), text);
    for (char *quote = text; (quote = strchr(quote, '\'')); quote++)
        *quote = '?';
    snprintf(m->name, sizeof(m->name), "%.900s%s%s", text, *what ? " " : "", what);
    m->is_bytes = !*what || strcmp(what, "bytes") == 0 || strcmp(what, "quota") == 0;
    m->used = used;
    m->limit = limit;
}

// Measures the account of SUBJECT; nothing if the account is OPTIONAL and the caller may not see it.  False after a
// complaint: the daemon did not tell.
static bool look_at_usage(struct ctl *ctl, struct check *c, const char *whose, const char *subject, bool optional)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__GetUsage get = DISKALLOC__V1__GET_USAGE__INIT;
    Diskalloc__V1__Reply *reply;
    const Diskalloc__V1__Usage *u;
    bool fine;

    get.subject = field_text(subject);
    request.body_case = DISKALLOC__V1__REQUEST__BODY_GET_USAGE;
    request.get_usage = &get;
    if (ctl_ask(ctl, &request, &reply) != EXIT_DONE)
        return false;
    fine = reply->error ? optional && reply->error->code == DISKALLOC__V1__ERROR_CODE__ACCESS
                        : reply->body_case == DISKALLOC__V1__REPLY__BODY_USAGE;
    u = fine && !reply->error ? reply->usage : NULL;
    if (u) {
        measure(c, whose, "bytes", u->bytes, u->bytes_limit);
        measure(c, whose, "regions", u->regions, u->regions_limit);
        measure(c, whose, "connections", u->connections, u->connections_limit);
    } else if (!fine && reply->error)
        ctl_complain_of_error(reply->error);
    session_free_reply(reply);
    return fine;
}

// A measure that most disks have plenty of is left out of the line.
static void measure_if_high(struct check *c, const char *whose, const char *what, uint64_t used, uint64_t limit)
{
    measure(c, whose, what, used, limit);
    if (judge(c, &c->measures[c->n - 1]) == STATE_OK)
        c->n--;
}

// Measures the disk, and looks whether the daemon can use it.  Its limit is the size without keep_free, which is
// never granted.  False after a complaint.
static bool look_at_disk(struct ctl *ctl, struct check *c)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__GetStatus get = DISKALLOC__V1__GET_STATUS__INIT;
    Diskalloc__V1__Reply *reply;
    const Diskalloc__V1__Status *s;
    int status;

    request.body_case = DISKALLOC__V1__REQUEST__BODY_GET_STATUS;
    request.get_status = &get;
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_STATUS, &status);
    if (!reply)
        return false;
    s = reply->status;
    if (s->disk_total > 0)
        measure(c, "disk", "", s->disk_total > s->disk_available ? s->disk_total - s->disk_available : 0,
                s->disk_total > s->keep_free ? s->disk_total - s->keep_free : 0);
    if (s->disk_inodes > 0)
        measure_if_high(c, "disk", "inodes", s->disk_inodes - u64_min(s->disk_inodes, s->disk_inodes_available),
                        s->disk_inodes);
    if (s->fs_quota_limit > 0)
        measure_if_high(c, "file system", "quota", s->fs_quota_used, s->fs_quota_limit);
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

// The worst measures come first, because messages on pagers are cut off.
static void print_text(const struct check *c, enum state worst)
{
    const char *separator = " - ";

    printf("DISKALLOC %s", state_names[worst]);
    if (*c->problem) {
        printf("%s%s", separator, c->problem);
        separator = ", ";
    }
    for (int state = STATE_CRITICAL; state >= STATE_OK; state--)
        for (size_t i = 0; i < c->n; i++) {
            if ((int)judge(c, &c->measures[i]) != state)
                continue;
            fputs(separator, stdout);
            print_measure(&c->measures[i]);
            separator = ", ";
        }
    fputs(" |", stdout);
    for (size_t i = 0; i < c->n; i++)
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

// The accounts of the subjects that were named; without any, the caller's account and the total.
static bool look_at_accounts(struct ctl *ctl, struct check *c)
{
    if (ctl->n_args == 0)
        return look_at_usage(ctl, c, "own", "", true) && look_at_usage(ctl, c, "total", "total", true);
    for (int i = 0; i < ctl->n_args; i++)
        if (!look_at_usage(ctl, c, ctl->args[i], ctl->args[i], false))
            return false;
    return true;
}

static int run(struct ctl *ctl, struct check *measured)
{
    struct check c = *measured;
    enum state worst = STATE_OK;

    if (!parse_thresholds(ctl, &c) || !look_at_accounts(ctl, &c) || !look_at_disk(ctl, &c))
        return check_unknown(ctl);
    for (size_t i = 0; i < c.n; i++)
        if (judge(&c, &c.measures[i]) > worst)
            worst = judge(&c, &c.measures[i]);
    if (*c.problem)
        worst = STATE_CRITICAL;
    if (ctl->json)
        print_json(&c, worst);
    else
        print_text(&c, worst);
    return (int)worst;
}

int check_run(struct ctl *ctl)
{
    size_t n_accounts = ctl->n_args > 0 ? (size_t)ctl->n_args : 2;
    struct check c = {.measures = calloc(3 * n_accounts + 3, sizeof(struct measure))};
    int status;

    if (ctl->timeout_seconds == 0)
        ctl->timeout_seconds = ANSWER_SECONDS;
    if (!c.measures) {
        ctl_complain("out of memory");
        return check_unknown(ctl);
    }
    status = run(ctl, &c);
    free(c.measures);
    return status;
}
