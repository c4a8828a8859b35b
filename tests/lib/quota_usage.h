// For the tests of quotas: a daemon whose configuration changes, real users and groups, and a peer that sees what an
// administrator sees.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <grp.h>
#include <sys/mman.h>

// Conditions to wait for: that field of a subject's usage is VALUE.
struct quota_expectation {
    struct raw *admin;
    const char *subject;
    size_t offset; // of a uint64_t in Diskalloc__V1__Usage
    uint64_t value;
};

uint64_t usage_field(struct raw *admin, const char *subject, size_t offset);
#define USAGE_OF(admin, subject, field) usage_field(admin, subject, offsetof(Diskalloc__V1__Usage, field))

bool quota_is_as_expected(void *data);
#define AWAIT_USAGE(a, s, field, v)                                                                 \
    do {                                                                                            \
        struct quota_expectation expected_ = {a, s, offsetof(Diskalloc__V1__Usage, field), v};      \
        test_wait_until(quota_is_as_expected, &expected_, 60, "usage of " #s ": " #field " = " #v); \
    } while (0)

struct log_expectation {
    const struct test_daemon *daemon;
    const char *text;
    size_t times;
};

size_t log_count(const struct test_daemon *d, const char *text);
void await_log(const struct test_daemon *d, const char *text, size_t times);
// Without telling the daemon.
void rewrite_config(const struct test_daemon *d, const char *text);
void reload(const struct test_daemon *d, const char *text);
void subject_of_uid(uid_t uid, char *ret, size_t size);
// ---- Real users and groups, which go when this process ends, however it ends ----

enum { PEOPLE = 3 };

struct people {
    char user[PEOPLE][24], group[PEOPLE][24];
    uid_t uid[PEOPLE];
    pid_t remover;
    int pipe;
};

// Users 0, 1, 2 with primary groups of their own, and groups 0, 1, 2 without members.  Ends the binary as skipped
// where that can't be had.
void people_make(struct people *p);
void people_free(struct people *p);
void people_join(const struct people *p, int user, int group);
void people_leave(const struct people *p, int user, int group);
// ---- A connection as somebody else ----

// For root: the socket is connected with that effective uid, which is what the daemon sees.
int raw_open_as(struct raw *c, const char *path, uid_t uid);
