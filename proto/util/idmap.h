// The numbers of users in a user namespace.
#pragma once
#include <stdbool.h>

// True if this process's user namespace has a number for every user: then whoever shows the overflow uid really has
// that uid.
bool idmap_has_all_uids(void);
