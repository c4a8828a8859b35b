// An account's usage, as `usage` and `top` print it.
#pragma once
#include "client/ctl/ctl.h"

json_t *usage_json(const Diskalloc__V1__Usage *u);
// `usage --all`.
int usage_all_run(struct ctl *ctl);
