// Lengths of time as people write and read them.  Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { DURATION_TEXT_MAX = 32 }; // bytes, with the NUL

// Reads a length of time as systemd.time(7) writes it, in whole seconds: "90", "30s", "30min", "12h", "7d", "2weeks",
// "1h 30min".  Without a unit, seconds.
// 0; -EINVAL: TEXT is no length of time; -ERANGE: it does not fit.
int duration_parse(const char *text, uint64_t *ret_seconds);

// "7d", "1h 30min", "0s": in the largest units that it is a whole number of, at most three.  Returns BUFFER.
const char *duration_format(uint64_t seconds, char buffer[static DURATION_TEXT_MAX]);
