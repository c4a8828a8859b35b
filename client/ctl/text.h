// Values as diskallocctl prints them: on a terminal and in JSON.  The text_ functions write to RET and return it; RET
// is cut off where it is full.
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/diskalloc.pb-c.h"

enum { TEXT_MAX = 1024 }; // bytes, with the NUL

// Text that other users chose, such as names, made harmless for a terminal: control characters, invisible characters,
// characters that turn the direction of writing, and bytes that are not UTF-8 become \xNN.
const char *text_escape(const void *bytes, size_t n, char ret[static TEXT_MAX]);
// "4.0K" if HUMAN, else "4096"; "unlimited" for UINT64_MAX.
const char *text_size(uint64_t bytes, bool human, char ret[static TEXT_MAX]);
// "7"; "unlimited" for UINT64_MAX.
const char *text_count(uint64_t count, char ret[static TEXT_MAX]);
// Seconds since the epoch, as RFC 3339 writes a time in UTC.
const char *text_time(uint64_t seconds, char ret[static TEXT_MAX]);
// 32 hexadecimal digits; "" unless there are 16 bytes.
const char *text_handle(const uint8_t *bytes, size_t n, char ret[static TEXT_MAX]);
// "attached", "idle", "mapped", "orphaned" or "unlinked"; a constant.
const char *text_region_state(const Diskalloc__V1__Region *r);
// "[########------------]  40%"; "" without a limit.
const char *text_bar(uint64_t used, uint64_t limit, bool colour, char ret[static TEXT_MAX]);

json_t *text_json_bytes(const void *bytes, size_t n); // a string; bytes that are not UTF-8 become U+FFFD
json_t *text_json_limit(uint64_t limit);              // null if there is no limit
json_t *text_json_number(uint64_t number);
json_t *text_json_time(uint64_t seconds);
// An array of objects: the connections that have the region attached.
json_t *text_json_holders(const Diskalloc__V1__Region *r);
