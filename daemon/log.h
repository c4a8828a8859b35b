// The daemon's log, for the administrator.  If stderr is connected to the journal, messages are sent to the journal
// with fields; otherwise they are plain lines on stderr.  Any thread may log.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The numbers are those of syslog(3).
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
};

// MESSAGE_IDs of the kinds of messages that systemd/diskallocd.catalog explains.
#define LOG_ID_REFUSAL "c8f75f2dce79483bb9dcae992292655f"
#define LOG_ID_WARNING "89c95d455629470cb202f156d6da3288"
#define LOG_ID_TAMPERED "5d1f6a0c3b7e4e0f9a41c2d87be3f05a"
#define LOG_ID_IO_ERROR "e49005b4b8784d24b0dc596d53b210a7"
#define LOG_ID_STUCK "ec7532e737434d3bbcc9720ecb8abe54"
#define LOG_ID_ADMINISTERED "3b6c1d5e2a9f4f7c8e04d1b7a65c92f3"

// The fields DISKALLOC_... that an entry of the journal has beside its message.  Plain lines do not show them.
struct log_fields {
    const char *message_id;      // one of LOG_ID_...; NULL: none
    bool has_user;               // uid is valid
    uid_t uid;                   // of the user whom the message is about
    pid_t pid;                   // of the client; 0: not known
    const char *handle;          // of the region; NULL: the message is about no region
    const char *limit_name;      // NULL: the message is about no limit
    uint64_t limit, used, asked; // with limit_name: bytes, regions or connections
    // What an administrator has done, by_uid and by_pid: NULL: the message is about something else.
    const char *action;
    uid_t by_uid;
    pid_t by_pid;
    const char *subject, *before, *after; // "user:alice", "bytes=50G"; "" if there is nothing to say
};

// FORMAT and the arguments make the message, without a newline.
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_with(enum log_level level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Kinds of messages that a client can cause as often as it likes.
enum log_kind {
    LOG_KIND_REFUSAL,     // by a quota
    LOG_KIND_WARNING,     // the mark of a quota was reached
    LOG_KIND_IO_ERROR,    // of the disk
    LOG_KIND_REMOVAL,     // of a region's file failed
    LOG_KIND_RIGHTS,      // a client sent file descriptors
    LOG_KIND_SILENT,      // connections without Hello
    LOG_KIND_NAMESPACE,   // a client whose uid is not visible
    LOG_KIND_DESCRIPTORS, // they have run out
    LOG_KIND_STUCK,       // a client holds the lock of a region's file
    LOG_KIND_EXPIRY,      // a region was removed because nobody used it
    LOG_KIND_N,
};

// Whether a message of KIND about UID may be logged now: a few are in 20 s, for each kind and uid, and for each kind in
// all.  The others are counted.
bool log_may(enum log_kind kind, uid_t uid);
// Logs how many messages were not logged, of each kind and uid whose time is over.  Called every few seconds.
void log_tell_suppressed(void);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
