// A run of diskallocctl as every command sees it: the options of the command line and the connection to the daemon.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "client/ctl/output.h"
#include "client/ctl/session.h"

// Options that only some commands take.
enum command_option {
    OPTION_USER = 1 << 0,
    OPTION_FORCE = 1 << 1,
    OPTION_WARN = 1 << 2,
    OPTION_CRIT = 1 << 3,
    OPTION_RUN = 1 << 4, // those of `run`, for which the address may also be a directory
    OPTION_ALL = 1 << 5,
    OPTION_SIZE = 1 << 6,
    OPTION_TOP = 1 << 7,       // those of `top`
    NEEDS_NO_ADDRESS = 1 << 8, // no option: the command runs without an address, or finds it out itself
};

// The kind of an argument, for the completions of shells.
enum word {
    WORD_NONE, // nothing that a shell could complete
    WORD_REGION,
    WORD_SUBJECT,
    WORD_USER,
    WORD_PROGRAM,
    WORD_COMMAND, // of diskallocctl
    WORD_COLUMN,  // of top
    WORD_SHELL,
};

struct command;

// main.c fills in everything but the session before it runs the command.
struct ctl {
    const char *address; // "unix:/..."; of `run` also "dir:/..."; NULL of commands with NEEDS_NO_ADDRESS
    const char *given_address, *given_instance; // --address and --instance; NULL: not given
    bool json;                                  // --json: print one JSON object
    bool human;                                 // round sizes for people and draw bars
    bool colour;                                // draw the bars in colour
    int width;                                  // columns of the terminal; 0: the output is no terminal
    const char *user;                           // --user; NULL: not given
    bool force;                                 // --force
    const char *warn, *crit;                    // --warn and --crit as they were given; NULL: not given
    const char *threshold, *limit;              // --threshold and --limit as they were given; NULL: not given
    bool all, strict, report;                   // --all, --strict, --report
    const char *size, *sort;                    // --size and --sort as they were given; NULL: not given
    bool once;                                  // --once
    int delay_seconds;                          // --delay; 0: not given
    const struct command *commands;             // the table, n_commands of them
    size_t n_commands;
    char **args; // the command's arguments, without its name
    int n_args;
    const char *about;      // the argument that ctl_call's requests are about, for complaints; NULL: none
    int timeout_seconds;    // how long to wait for each answer; 0: the command chooses
    struct session session; // ctl_ask connects it when the command asks for the first time
};

// A row of main.c's table of commands.
struct command {
    const char *name, *verb;     // "quota", "set"; verb is NULL for a command of one word
    int (*run)(struct ctl *ctl); // returns the exit status of the program
    int min_args, max_args;
    unsigned options; // the enum command_option bits that it takes
    const char *synopsis, *what;
    enum word word; // what its arguments are
};

// Connects if there is no connection yet.  An exit status; complains of every failure.
int ctl_connect(struct ctl *ctl);

// Connects if there is no connection yet, sends REQUEST and waits for its reply.
// EXIT_DONE and *RET is the reply, which may be a refusal and is freed by session_free_reply; or, after a complaint,
// another exit status.
int ctl_ask(struct ctl *ctl, Diskalloc__V1__Request *request, Diskalloc__V1__Reply **ret);

// As ctl_ask, but every reply that is not of BODY ends in a complaint; BODY__NOT_SET takes any reply that is no
// refusal.  Returns the reply, or NULL; *RET_STATUS is the exit status so far.
Diskalloc__V1__Reply *ctl_call(struct ctl *ctl, Diskalloc__V1__Request *request, Diskalloc__V1__Reply__BodyCase body,
                               int *ret_status);

// Complains of a refusal, with the daemon's sentence and numbers.  ABOUT: what was asked for, as the caller wrote it;
// NULL: the sentence stands alone.
void ctl_complain_of_error(const char *about, const Diskalloc__V1__Error *e);

int status_run(struct ctl *ctl);
int usage_run(struct ctl *ctl);
int regions_run(struct ctl *ctl);
int quota_list_run(struct ctl *ctl);
int quota_set_run(struct ctl *ctl);
int quota_unset_run(struct ctl *ctl);
int rm_run(struct ctl *ctl);
int expiry_run(struct ctl *ctl);
int move_run(struct ctl *ctl);
int disconnect_run(struct ctl *ctl);
int check_run(struct ctl *ctl);
int help_run(struct ctl *ctl);
int selftest_run(struct ctl *ctl);
int events_run(struct ctl *ctl);
int top_run(struct ctl *ctl);
int doctor_run(struct ctl *ctl);
int completion_run(struct ctl *ctl);
int metrics_run(struct ctl *ctl);
int run_run(struct ctl *ctl); // returns only if the program does not run

// Runs in the place of `check` when the command line is wrong: says UNKNOWN and the last complaint as a monitoring
// plugin does.
int check_unknown(const struct ctl *ctl);
