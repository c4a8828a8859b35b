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
};

struct ctl {
    const char *address; // "unix:/..."
    bool json;
    bool human; // sizes for people, bars
    const char *user;
    char **args; // behind the command's name
    int n_args;
    struct session session;
};

struct command {
    const char *name;
    int (*run)(struct ctl *ctl); // an exit status
    int max_args;
    unsigned options; // enum command_option bits that it understands
    const char *synopsis, *what;
};

// Sends REQUEST, connecting first if need be.  The reply, to be freed by session_free_reply; or NULL, everything was said on
// stderr, and *RET_STATUS is what to exit with.
Diskalloc__V1__Reply *ctl_call(struct ctl *ctl, Diskalloc__V1__Request *request, int *ret_status);

// One sentence on stderr.
__attribute__((format(printf, 1, 2))) void ctl_complain(const char *format, ...);
// Prints and frees OBJECT with "version" put in.  An exit status.
int ctl_print_json(json_t *object);

int status_run(struct ctl *ctl);
int usage_run(struct ctl *ctl);
int regions_run(struct ctl *ctl);
