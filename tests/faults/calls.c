// See calls.h.
#include "tests/faults/calls.h"

#include <string.h>

#define INFO(kind, ...) {.name = #kind, .errors = {__VA_ARGS__}},

const struct faults_call_info faults_calls[CALL_N] = {FAULTS_CALLS(INFO)};

_Static_assert((int)CALL_N <= (int)FAULTS_CALLS_MAX, "enough room for the counters");

unsigned faults_n_errors(int call)
{
    unsigned n = 0;

    while (n < FAULTS_ERRORS_MAX && faults_calls[call].errors[n] != 0)
        n++;
    return n;
}

const char *faults_error_name(int error)
{
    if (error == FAULTS_SHORT)
        return "SHORT";
    if (error == FAULTS_LOST_FD)
        return "LOST_FD";
    return strerrorname_np(error);
}
