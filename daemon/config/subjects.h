// Subjects as the configuration and the protocol write them.
#pragma once
#include <stddef.h>

#include "daemon/config/config.h"

enum { CONFIG_SUBJECT_SIZE = 272 }; // bytes of "members:GROUP", with the NUL: names of 255 bytes, and some more

// For sentences.
#define CONFIG_SUBJECTS "total, default, unlisted, user:NAME, members:GROUP, group:GROUP or cgroup:PATH"

// Takes apart "total", "default", "user:alice", ...: a subject as the configuration writes it.  0 or -EINVAL.
int config_parse_subject(const char *text, enum config_subject_kind *ret_kind, const char **ret_name);
// The path of the control group NAME, which is a path or, as systemd has it, a slice ("a-b.slice").  0 or -EINVAL.
int config_cgroup_path(const char *name, char *ret, size_t n);
// Writes "user:alice" to RET of N bytes, and returns RET.
const char *config_subject_text(const struct config_subject *s, char *ret, size_t n);
