// Private to the preloaded library: whether a call fails, and the real functions.
#pragma once
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>

#include "tests/faults/calls.h"

// Counts a call of the kind CALL that returns to CALLER.  0: make the call; else one of the kind's errors.
int inject(enum faults_call call, const void *caller);

// In inject_files.c.  A call that does not wait is not interrupted.
int inject_transfer(int fd, enum faults_call file, enum faults_call other, const void *caller);
// As the C library: sets errno, and the stream's error flag.
void mark_stream(FILE *f, int error);
// In inject_sockets.c: only when there is a packet, whose sender is gone if the connection is said to be reset.
int inject_receive(int fd, const void *caller);

#define CALLER __builtin_return_address(0)

// The real function NAME, to be called with arguments.
#define REAL(name)                                       \
    ({                                                   \
        static __typeof__(name) *found_;                 \
        if (!found_)                                     \
            *(void **)&found_ = dlsym(RTLD_NEXT, #name); \
        found_;                                          \
    })

// Defines NAME, a function that returns FAILURE and sets errno when it fails, as a kind of call.
#define WRAP(kind, type, name, parameters, arguments, failure) \
    type name parameters                                       \
    {                                                          \
        int error_ = inject(CALL_##kind, CALLER);              \
                                                               \
        if (error_) {                                          \
            errno = error_;                                    \
            return failure;                                    \
        }                                                      \
        return REAL(name) arguments;                           \
    }

#define EXPORT __attribute__((visibility("default")))
