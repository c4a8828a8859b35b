// How far long work has come: a line on standard error with bytes, rate and time left, for somebody who waits.
//
//     struct progress p;
//
//     progress_begin(&p, "sorting", size);
//     while (...)
//         progress_show(&p, done);
//     progress_end(&p);
//
// Nothing is printed if standard error is no terminal, or if the work takes less than a tenth of a second.  The line is
// written anew at most ten times a second, and is cut to the terminal's width.  A terminal that can only print lines
// (TERM=dumb, or no TERM) gets one every five seconds.  When Ctrl-C or another signal ends the program, the line is
// ended first, so that the shell's prompt has a line of its own.
//
// One progress at a time, on one thread.  progress_begin and progress_end change the actions of SIGINT, SIGQUIT and
// SIGTERM, unless the program has set its own.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;           // printable ASCII
    uint64_t total, done;       // bytes
    uint64_t measured;          // bytes that were done when a line was printed last
    double rate;                // bytes a second, lately
    uint64_t begun_us, last_us; // when the work began, and when a line was printed last
    uint64_t next_us;           // no line before that time; UINT64_MAX: none at all
    bool plain;                 // the terminal can only print lines
    bool shown;                 // there was a line
};

// WHAT says what is being done, and must stay valid.  TOTAL: bytes that are to be done; 0: nobody knows.
void progress_begin(struct progress *p, const char *what, uint64_t total);
// DONE bytes are done in all.
void progress_show(struct progress *p, uint64_t done);
// Ends the line; it then says how long the work took.  Call this before anything else is printed, and before a
// complaint if the work failed.  A second call does nothing.
void progress_end(struct progress *p);
