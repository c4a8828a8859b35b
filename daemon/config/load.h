// Reading the configuration files.
#pragma once
#include "daemon/config/config.h"

// Whether NAME is the group of administrators if no file names one.  It need not exist.
bool config_is_default_admin_group(const char *name);
// Reads PATH (NULL: CONFIG_DEFAULT_PATH, which may be absent), then PATH.d/*.conf in order.  Asks NAMES (NULL: the
// user database) for the numbers of names, and blocks: at start and on workers only.  Warnings go to WARN, unless
// that is NULL.  0, or -errno (-EINVAL: a file says something wrong) and *RET_ERROR is a sentence with file, line and
// key, to be freed.
int config_load(const char *path, const struct config_resolver *names, config_warn_fn warn, void *warn_data,
                struct config **ret, char **ret_error);
