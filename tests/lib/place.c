// See place.h.
#include "tests/lib/place.h"

#include "tests/lib/harness.h"
#include "tests/lib/quota_usage.h"

void place_start(struct place *p, const char *config)
{
    memset(p, 0, sizeof *p);
    test_daemon_start(&p->d, config, NULL);
    assert_int_equal(raw_open(&p->root, p->d.socket), RAW_CODE(OK));
}

void place_stop(struct place *p)
{
    AWAIT_USAGE(&p->root, "total", regions, 0);
    assert_int_equal(USAGE_OF(&p->root, "unlisted", bytes), 0);
    raw_close(&p->root);
    test_daemon_stop_and_remove(&p->d);
}
