// See early_growth.h.
#include "tests/lib/early_growth.h"

#include "client/region/region.h"
#include "client/remote/remote_internal.h"
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

bool is_on_its_way(const struct u64s *v)
{
    // A small vector has no file yet, and so no backing of that type.
    return !v->region->small.fileless && ((const struct remote_backing *)v->region->backing)->early_asked;
}

void push_until_asked(struct u64s *v)
{
    while (!is_on_its_way(v)) {
        if (u64s_push(v, mix(v->len)) != 0)
            fail_msg("%s", diskalloc_last_error());
        assert_true(v->len < 400 * MIB / 8);
    }
}
