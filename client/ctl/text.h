// How things read on a terminal and in JSON.
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/diskalloc.pb-c.h"

enum { TEXT_MAX = 1024 };

// What other users chose (names, programs' names), so that it can't steer a terminal: control characters, what turns the
// writing direction and bytes that are no UTF-8 become \xNN.  Cut to fit.  Returns RET.
const char *text_escape(const void *bytes, size_t n, char ret[static TEXT_MAX]);
// "4.0K" for people, else "4096"; "unlimited" for UINT64_MAX.
const char *text_size(uint64_t bytes, bool human, char ret[static TEXT_MAX]);
// "7", or "unlimited".
const char *text_count(uint64_t count, char ret[static TEXT_MAX]);
// Seconds since the epoch as RFC 3339 in UTC.
const char *text_time(uint64_t seconds, char ret[static TEXT_MAX]);
// 32 hexadecimal digits.
const char *text_handle(const uint8_t *bytes, size_t n, char ret[static TEXT_MAX]);
// "[####------]  40%"; empty without a limit.
const char *text_bar(uint64_t used, uint64_t limit, bool colour, char ret[static TEXT_MAX]);

json_t *text_json_bytes(const void *bytes, size_t n); // bytes that are no UTF-8 become U+FFFD
json_t *text_json_limit(uint64_t limit);              // null: none
json_t *text_json_number(uint64_t number);
json_t *text_json_time(uint64_t seconds);
json_t *text_json_holders(const Diskalloc__V1__Region *r);
