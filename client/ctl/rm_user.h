// `diskallocctl rm --user`.
#pragma once
#include "client/ctl/ctl.h"

int rm_user_run(struct ctl *ctl);
