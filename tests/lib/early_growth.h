// What the tests of growth that is asked for before it is needed share: whether it was, and a daemon that does not answer.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#define backend client_backend // the library's and the tests' are two things
#include "client/region/region.h"
#include "client/remote/remote_internal.h"
#undef backend

static inline bool is_on_its_way(const struct u64s *v)
{
    return ((const struct remote_backing *)v->region->backing)->early_asked;
}

// From an empty vector, until the library has asked.
static inline void push_until_asked(struct u64s *v)
{
    while (!is_on_its_way(v)) {
        if (u64s_push(v, mix(v->len)) != 0)
            fail_msg("%s", diskalloc_last_error());
        assert_true(v->len < 400 * MIB / 8);
    }
}

static inline void halt(const struct test_daemon *d)
{
    int status;

    assert_return_code(kill(d->pid, SIGSTOP), errno);
    assert_int_equal(waitpid(d->pid, &status, WUNTRACED), d->pid);
    assert_true(WIFSTOPPED(status));
}
