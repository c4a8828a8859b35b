// The daemon's log: see log.h.
#include "daemon/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "proto/util/clock.h"

enum {
    LINE_MAX_LENGTH = 2048, // bytes of a message
    FIELD_MAX_LENGTH = 384, // bytes of another field of the journal, with its name
    MAX_FIELDS = 20,        // fields of one entry, see send_to_journal
    LIMITED_MS = 20 * 1000, // log_may: within this time
    MOST_OF_USER = 3,       // messages of one kind about one uid are logged
    MOST_OF_OTHERS = 20,    // and of one kind about all uids for which there is no entry
    MAX_LIMITED = 64,       // entries
};

// systemd sets $JOURNAL_STREAM to the device and inode of the stream that it connected to the journal.  stderr may have
// been redirected since, so the two are compared.
static bool stderr_is_the_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

// One entry of the journal.  fields[0] is the message.
struct entry {
    struct iovec fields[MAX_FIELDS];
    int n;
    char text[MAX_FIELDS][FIELD_MAX_LENGTH];
};

// A value that is too long is cut off.
static void add_text(struct entry *e, const char *name, const char *value)
{
    char *text = e->text[e->n];
    int n = snprintf(text, FIELD_MAX_LENGTH, "%s=%s", name, value);

    e->fields[e->n++] = (struct iovec){text, n < FIELD_MAX_LENGTH ? (size_t)n : FIELD_MAX_LENGTH - 1};
}

static void add_number(struct entry *e, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    add_text(e, name, text);
}

static bool send_to_journal(enum log_level level, const struct log_fields *fields, char *message, size_t n)
{
    struct entry e = {.n = 1};

    e.fields[0] = (struct iovec){message, n};
    add_number(&e, "PRIORITY", level);
    if (fields->message_id)
        add_text(&e, "MESSAGE_ID", fields->message_id);
    if (fields->has_user)
        add_number(&e, "DISKALLOC_UID", fields->uid);
    if (fields->pid > 0)
        add_number(&e, "DISKALLOC_PID", (uint64_t)fields->pid);
    if (fields->handle)
        add_text(&e, "DISKALLOC_HANDLE", fields->handle);
    if (fields->limit_name) {
        add_text(&e, "DISKALLOC_LIMIT_NAME", fields->limit_name);
        add_number(&e, "DISKALLOC_LIMIT", fields->limit);
        add_number(&e, "DISKALLOC_USED", fields->used);
        add_number(&e, "DISKALLOC_ASKED", fields->asked);
    }
    if (fields->action) {
        add_text(&e, "DISKALLOC_ACTION", fields->action);
        add_number(&e, "DISKALLOC_BY_UID", fields->by_uid);
        add_number(&e, "DISKALLOC_BY_PID", (uint64_t)fields->by_pid);
        add_text(&e, "DISKALLOC_SUBJECT", fields->subject);
        add_text(&e, "DISKALLOC_BEFORE", fields->before);
        add_text(&e, "DISKALLOC_AFTER", fields->after);
    }
    return sd_journal_sendv(e.fields, e.n) == 0;
}

static void log_args(enum log_level level, const struct log_fields *fields, const char *format, va_list args)
{
    static const char prefix[] = "MESSAGE=";
    char line[LINE_MAX_LENGTH];
    size_t begin = sizeof prefix - 1, end;
    int n;

    memcpy(line, prefix, begin);
    n = vsnprintf(line + begin, sizeof line - begin - 1, format, args);
    if (n < 0)
        return;
    end = begin + (size_t)n;
    if (end > sizeof line - 2)
        end = sizeof line - 2;
    // The message may contain text of peers or files.  Control characters are replaced, so that one message stays one
    // line.
    for (size_t i = begin; i < end; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    if (stderr_is_the_journal() && send_to_journal(level, fields, line, end))
        return;
    line[end] = '\n';
    // A single write(2), so that the lines of several threads do not mix.  If it fails, there is nowhere to report
    // that.
    if (write(STDERR_FILENO, line + begin, end - begin + 1) < 0)
        return;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const struct log_fields none;
    va_list args;

    va_start(args, format);
    log_args(level, &none, format, args);
    va_end(args);
}

void log_with(enum log_level level, const struct log_fields *fields, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_args(level, fields, format, args);
    va_end(args);
}

// The messages of one kind about one uid, within LIMITED_MS.
struct limited {
    bool used;
    enum log_kind kind;
    uid_t uid;
    uint64_t since;               // ms, monotonic: the first of them
    unsigned n_logged, n_dropped; // messages
};

static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER; // for the two below
static struct limited limits[MAX_LIMITED];
static struct limited limits_of_others[LOG_KIND_N]; // of the uids for which LIMITS has no room

static const char *const kind_names[LOG_KIND_N] = {
    [LOG_KIND_REFUSAL] = "refusals by a quota",
    [LOG_KIND_WARNING] = "warnings of a quota",
    [LOG_KIND_IO_ERROR] = "errors of the disk",
    [LOG_KIND_REMOVAL] = "regions that could not be removed",
    [LOG_KIND_RIGHTS] = "clients that sent file descriptors",
    [LOG_KIND_SILENT] = "connections without Hello",
    [LOG_KIND_NAMESPACE] = "clients of other user namespaces",
    [LOG_KIND_DESCRIPTORS] = "pauses for want of descriptors",
    [LOG_KIND_STUCK] = "regions whose files are held",
    [LOG_KIND_EXPIRY] = "removals of regions that nobody used",
};

static void tell_dropped(struct limited *l, bool others)
{
    if (l->n_dropped > 0 && others)
        log_notice("%u more messages about further users were not logged: %s", l->n_dropped, kind_names[l->kind]);
    else if (l->n_dropped > 0)
        log_notice("%u more messages about uid %u were not logged: %s", l->n_dropped, (unsigned)l->uid,
                   kind_names[l->kind]);
    *l = (struct limited){0};
}

static bool is_over(const struct limited *l, uint64_t now)
{
    return l->used && now - l->since >= LIMITED_MS;
}

// The entry of KIND and UID, or one that is free, or that of all others.
static struct limited *find_limited(enum log_kind kind, uid_t uid)
{
    struct limited *unused = NULL;

    for (size_t i = 0; i < MAX_LIMITED; i++) {
        struct limited *l = &limits[i];

        if (l->used && l->kind == kind && l->uid == uid)
            return l;
        if (!l->used && !unused)
            unused = l;
    }
    return unused ? unused : &limits_of_others[kind];
}

bool log_may(enum log_kind kind, uid_t uid)
{
    uint64_t now = clock_now();
    struct limited *l;
    bool others, may;

    pthread_mutex_lock(&limits_lock);
    l = find_limited(kind, uid);
    others = l == &limits_of_others[kind];
    if (is_over(l, now))
        tell_dropped(l, others);
    if (!l->used)
        *l = (struct limited){.used = true, .kind = kind, .uid = uid, .since = now};
    may = l->n_logged < (others ? MOST_OF_OTHERS : MOST_OF_USER);
    l->n_logged += may;
    l->n_dropped += !may;
    pthread_mutex_unlock(&limits_lock);
    return may;
}

void log_tell_suppressed(void)
{
    uint64_t now = clock_now();

    pthread_mutex_lock(&limits_lock);
    for (size_t i = 0; i < MAX_LIMITED; i++)
        if (is_over(&limits[i], now))
            tell_dropped(&limits[i], false);
    for (size_t i = 0; i < LOG_KIND_N; i++)
        if (is_over(&limits_of_others[i], now))
            tell_dropped(&limits_of_others[i], true);
    pthread_mutex_unlock(&limits_lock);
}
