// The findings of `doctor`: a list of things that are wrong, worth knowing, or well.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "client/ctl/ctl.h"

enum finding_state {
    FINDING_WELL,
    FINDING_NOTE,  // it may be meant so
    FINDING_WRONG, // something does not work, or soon will not
};

// The advice that belongs to a finding: constants.
struct advice {
    const char *means; // what follows from it
    const char *mend;  // what to do, or which command tells more
};

struct finding {
    enum finding_state state;
    const char *id; // a word that stays the same, for programs: "socket", "guarantee"
    char *what;
    struct advice advice;
};

struct findings {
    struct finding *items;
    size_t n, n_room;
    bool failed;       // memory has run out
    const char *where; // stands in front of what is found: the directory of one of several disks; NULL: nothing does
};

// FORMAT and the arguments say what was found.
__attribute__((format(printf, 5, 6))) void finding(struct findings *f, enum finding_state state, const char *id,
                                                   struct advice advice, const char *format, ...);
// Adds a finding about something that is well.
__attribute__((format(printf, 3, 4))) void finding_well(struct findings *f, const char *id, const char *format, ...);
void findings_deinit(struct findings *f);
// Prints all; in text, what is well only as a number.  An exit status: EXIT_REFUSED if something is wrong.
int findings_print(const struct ctl *ctl, const struct findings *f);
