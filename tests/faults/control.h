// Shared memory between a process under faults (inject.c, preloaded) and the driver that arms the faults.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    FAULTS_CALLS_MAX = 128,     // kinds of calls
    FAULTS_ERRORS_MAX = 8,      // errors of one kind
    FAULTS_TRACE_MAX = 1 << 16, // counted calls whose kind is remembered
    FAULTS_FRAMES_MAX = 12,     // of the stack of the first injected fault
    FAULTS_INTERRUPTIONS =
        5, // EINTR and EAGAIN "from the Nth call on" would be a hang of the tester's making: they end
};

// Besides errno numbers: the call does a part of its work and succeeds; the descriptor that came with a packet is lost.
enum { FAULTS_SHORT = 1000, FAULTS_LOST_FD };

// The environment variable with the path of the file that holds struct faults_control.
#define FAULTS_CONTROL_ENV "DISKALLOC_FAULTS"

struct faults_frame {
    char module[64];  // the file's name, without folders
    uint64_t address; // in the module
};

struct faults_control {
    // Written by the driver:
    atomic_bool armed; // calls are counted, and fail
    uint64_t fail_at;  // the Nth counted call fails; 0: none
    unsigned variant;  // which of its errors, modulo their number
    bool persistent;   // later calls of the same kind fail the same way
    // Written by the process:
    atomic_uint_fast64_t n_calls, n_injected;
    atomic_int call, error; // of the first fault; call -1: none yet
    unsigned n_frames;
    struct faults_frame frames[FAULTS_FRAMES_MAX];
    atomic_uint_fast64_t injected[FAULTS_CALLS_MAX][FAULTS_ERRORS_MAX];
    uint8_t trace[FAULTS_TRACE_MAX]; // the kinds of the counted calls, in order
};
