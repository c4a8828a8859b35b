// The region that an argument names: by its handle, or by its name.
#pragma once
#include <stdbool.h>

#include "proto/util/name.h"

struct target {
    char *copy;              // of the argument, cut at the slash between user and name; to be freed
    const char *user, *name; // within copy; user is "" for the caller
    struct handle handle;
    bool by_handle;
};

// False after a complaint.  Free RET->copy in either case.
bool target_parse(const char *argument, struct target *ret);
