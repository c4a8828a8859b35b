// See preload.h.  The constructor runs before those of all other libraries (-z initfirst), the C library's included: it
// gets the environment as an argument, and uses little of the C library.
#include "client/preload/preload.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/fork.h"
#include "client/preload/inside.h"
#include "client/preload/limit.h"
#include "client/preload/log.h"
#include "client/preload/opened.h"
#include "proto/util/checked.h"
#include "proto/util/size.h"

struct settings preload_settings = {.threshold = SETTINGS_THRESHOLD, .limit = UINT64_MAX};
size_t preload_from = SIZE_MAX;

static _Atomic uint64_t n_refused, bytes_refused;
static _Atomic bool said;
static char last_why[256]; // of the first refusal; written once

static const char *variable(char **environment, const char *name)
{
    size_t n = strlen(name);

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}

__attribute__((constructor)) static void begin(int argc, char **argv, char **environment)
{
    const char *text = variable(environment, SETTINGS_VARIABLE);

    (void)argc;
    (void)argv;
    settings_default(&preload_settings);
    if (text && !settings_parse(&preload_settings, text)) {
        log_line("%s is not understood, so nothing is put on disk: %s", SETTINGS_VARIABLE, text);
        return;
    }
    if (preload_settings.report)
        log_keep();
    limit.bytes = preload_settings.limit;
    opened_begin(preload_settings.address, fork_watch);
    fork_begin();
    preload_from = preload_settings.all ? 0 : preload_settings.threshold;
}

bool preload_refused(size_t size, const char *why)
{
    bool strict = preload_settings.strict;
    char text[SIZE_TEXT_MAX];

    atomic_fetch_add(&n_refused, 1);
    atomic_fetch_add(&bytes_refused, size);
    if (!atomic_exchange(&said, true)) {
        snprintf(last_why, sizeof last_why, "%s", why);
        log_line("a block of %s can't lie on disk%s: %s", size_format(size, text),
                 strict ? ", so the allocation fails" : " and is in memory, like others that will be refused",
                 *why ? why : "the limit of this run");
    }
    return !strict;
}

static void report_refusals(void)
{
    char size[SIZE_TEXT_MAX];

    if (n_refused > 0)
        log_at_end("refused: %llu blocks, %s, %s: %s", (unsigned long long)n_refused, size_format(bytes_refused, size),
                   preload_settings.strict ? "which the program did not get" : "which were in memory", last_why);
}

__attribute__((destructor)) static void end(void)
{
    struct diskalloc *da = opened_already();
    char peak[SIZE_TEXT_MAX], now[SIZE_TEXT_MAX], small[SIZE_TEXT_MAX];
    const char *address;
    int state;

    if (!preload_settings.report)
        return;
    state = inside_enter();
    address = da ? diskalloc_address(da) : "disk";
    if (!da)
        log_at_end("nothing was on disk");
    else
        log_at_end("on %s: large blocks of %s at most, %u at a time, in %u regions; %s at the end", address,
                   size_format(limit.most_used[LIMIT_BLOCKS], peak), blocks.most_blocks, disk.n_regions,
                   size_format(limit.used[LIMIT_BLOCKS], now));
    if (limit.most_used[LIMIT_HEAP] > 0)
        log_at_end("on %s: small blocks in a heap of %s", address, size_format(limit.most_used[LIMIT_HEAP], small));
    report_refusals();
    inside_leave(state);
}
