// What every command gets: the options, and one connection that is made when the command first asks.
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "client/ctl/session.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1, // refused or failed
    EXIT_USAGE = 2,
    EXIT_NO_DAEMON = 3,
};

enum command_option {
    OPTION_USER = 1 << 0,
    OPTION_FORCE = 1 << 1,
    OPTION_WARN = 1 << 2,
    OPTION_CRIT = 1 << 3,
};

struct ctl {
    const char *address; // "unix:/..."
    bool json;
    bool human;  // sizes for people, bars
    bool colour; // of bars
    const char *user;
    bool force;
    const char *warn, *crit; // as given, or NULL
    char **args;             // behind the command's name
    int n_args;
    int timeout_seconds; // for each answer; 0: the command's own choice
    struct session session;
};

struct command {
    const char *name, *verb;     // "quota", "set"; verb NULL: a command of one word
    int (*run)(struct ctl *ctl); // an exit status
    int min_args, max_args;
    unsigned options; // enum command_option bits that it understands
    const char *synopsis, *what;
};

// Sends REQUEST, connecting first if need be.  EXIT_DONE and *RET is the reply, which may be an error, to be freed by
// session_free_reply; or what to exit with, and everything was said on stderr.
int ctl_ask(struct ctl *ctl, Diskalloc__V1__Request *request, Diskalloc__V1__Reply **ret);
// The same for replies of BODY alone (any, when it is 0); NULL: everything was said, and *RET_STATUS is what to exit with.
Diskalloc__V1__Reply *ctl_call(struct ctl *ctl, Diskalloc__V1__Request *request, Diskalloc__V1__Reply__BodyCase body,
                               int *ret_status);
void ctl_complain_of_error(const Diskalloc__V1__Error *e);

// One sentence on stderr.
__attribute__((format(printf, 1, 2))) void ctl_complain(const char *format, ...);
// What was complained of last; "" for nothing.
const char *ctl_last_complaint(void);
// Prints and frees OBJECT with "version" put in.  An exit status.
int ctl_print_json(json_t *object);

int status_run(struct ctl *ctl);
int usage_run(struct ctl *ctl);
int regions_run(struct ctl *ctl);
int quota_list_run(struct ctl *ctl);
int quota_set_run(struct ctl *ctl);
int quota_unset_run(struct ctl *ctl);
int rm_run(struct ctl *ctl);
int disconnect_run(struct ctl *ctl);
int check_run(struct ctl *ctl);
// `check` where it is used wrongly, or no connection can be tried: what was complained of last, as plugins say it.
int check_unknown(const struct ctl *ctl);
