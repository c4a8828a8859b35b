// Everything that diskallocctl says beside its tables: one sentence of complaint on stderr, or one JSON object on
// stdout.
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "proto/diskalloc.pb-c.h"

// The exit status of every command but `check`, which has the statuses of monitoring plugins.
enum exit_status {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1, // the daemon refused, or something failed
    EXIT_USAGE = 2,
    EXIT_NO_DAEMON = 3,
    EXIT_UNKNOWN = 3, // of `check`
};

// Prints one sentence on stderr, with the program's name in front.
__attribute__((format(printf, 1, 2))) void ctl_complain(const char *format, ...);
// Whether ctl_complain only keeps the sentence, because it is shown otherwise.
void ctl_complain_silently(bool silently);
// The sentence that ctl_complain printed last; "" before the first.
const char *ctl_last_complaint(void);

// Keeps the limit that E names, for ctl_print_json_error.
void ctl_note_limit(const Diskalloc__V1__Error *e);
// Prints the last complaint as a JSON object: {"error": {"message", "status", ...}}.
void ctl_print_json_error(int status);
bool ctl_has_printed_json(void);
// From now on each JSON object is one line.
void ctl_json_in_lines(void);

// Adds "version" to OBJECT, prints and frees it.  OBJECT may be NULL, which stands for a lack of memory.
// EXIT_DONE, or EXIT_REFUSED after a complaint.
int ctl_print_json(json_t *object);
