// The address that a client connects to: the program's, the environment's, or the default.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum address_kind {
    ADDRESS_UNIX,
    ADDRESS_DIR,
};

struct address {
    enum address_kind kind;
    const char *path;   // points into the text that was parsed
    bool may_fall_back; // neither the program nor the environment chose the address
};

// TEXT NULL: takes $DISKALLOC_ADDRESS, or else the default.  0; or -EINVAL with the reason noted.
int address_parse(const char *text, struct address *ret);
// The first of $TMPDIR and /var/tmp that is on a disk (not tmpfs or ramfs); NULL: neither is.
const char *address_fallback_dir(void);
