// Where a client connects to.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum address_kind {
    ADDRESS_UNIX,
    ADDRESS_DIR,
};

struct address {
    enum address_kind kind;
    const char *path;   // within the text that was parsed
    bool may_fall_back; // nobody chose it
};

// TEXT may be NULL: the environment's choice or the default.  0 or -EINVAL with the reason noted.
int address_parse(const char *text, struct address *ret);
// The first of $TMPDIR and /var/tmp that is no tmpfs; NULL: neither.
const char *address_fallback_dir(void);
