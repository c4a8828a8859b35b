// Look-ups in the user database, by name and by number.
#include "tests/lib/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util/nss.h"

static void root_is_found_by_name_and_by_number(void **state)
{
    char *name = NULL;
    gid_t gid = 1, *groups = NULL;
    uid_t uid = 1;
    size_t n = 0;

    (void)state;
    assert_int_equal(nss_find_user("root", &uid), 0);
    assert_int_equal(uid, 0);
    assert_int_equal(nss_find_group("root", &gid), 0);
    assert_int_equal(gid, 0);
    assert_int_equal(nss_read_user(0, &name, &gid), 0);
    assert_string_equal(name, "root");
    assert_int_equal(nss_read_groups(name, gid, &groups, &n), 0);
    assert_true(n >= 1 && groups[0] == gid);
    free(groups);
    free(name);
}

static void a_number_is_its_own_answer_and_an_unknown_name_has_none(void **state)
{
    char *name = NULL;
    uid_t uid;
    gid_t gid;

    (void)state;
    assert_int_equal(nss_find_user("+4000000000", &uid), 0);
    assert_int_equal(uid, 4000000000u);
    assert_int_equal(nss_find_user("no-such-user-here", &uid), -ENOENT);
    assert_int_equal(nss_find_group("no-such-group-here", &gid), -ENOENT);
    assert_int_equal(nss_read_user(4000000000u, &name, &gid), -ENOENT);
    assert_null(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(root_is_found_by_name_and_by_number),
        TEST(a_number_is_its_own_answer_and_an_unknown_name_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
