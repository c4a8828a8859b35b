// Lines for the administrator: to the journal with fields when stderr is the journal, else plain lines on stderr.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum log_level {
    LOG_LEVEL_ERROR = 3, // as syslog's
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
};

// Kinds of events that the journal's catalog explains: systemd/diskallocd.catalog.
#define LOG_ID_REFUSAL "c8f75f2dce79483bb9dcae992292655f"
#define LOG_ID_WARNING "89c95d455629470cb202f156d6da3288"
#define LOG_ID_IO_ERROR "e49005b4b8784d24b0dc596d53b210a7"

// What a line is about: DISKALLOC_... fields of the journal.
struct log_fields {
    const char *message_id; // NULL: none
    bool has_user;
    uid_t uid;
    pid_t pid;              // 0: not known
    const char *handle;     // NULL: no region
    const char *limit_name; // NULL: no limit
    uint64_t limit, used, asked;
};

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_with(enum log_level level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
