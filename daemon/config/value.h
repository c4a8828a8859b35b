// Values as the configuration writes them, and the keys of quotas.
#pragma once
#include <stdint.h>

enum config_kind {
    CONFIG_UNSET,
    CONFIG_NUMBER,  // number is bytes, a count or seconds
    CONFIG_PERCENT, // of the file system's total size; for warn_at, of the subject's own bytes
    CONFIG_UNLIMITED,
};

struct config_value {
    enum config_kind kind;
    uint64_t number; // bytes, a count, seconds or percent, as kind says
    char *file;      // the file that sets the value; NULL: built in, or set at run time
    unsigned line;   // in file, from 1
    char *text;      // the value as it was written
    uint64_t set_at; // if it was set at run time: when (ms since 1970)
};

enum config_quota_key {
    CONFIG_QUOTA_BYTES,
    CONFIG_QUOTA_REGIONS,
    CONFIG_QUOTA_CONNECTIONS,
    CONFIG_QUOTA_REGION_BYTES,
    CONFIG_QUOTA_WARN_AT,
    CONFIG_QUOTA_SOFT_BYTES,
    CONFIG_QUOTA_GRACE,
    CONFIG_QUOTA_KEY_N,
};
