// The promises of the daemon, as far as they can be seen after each step of a schedule.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct op;

// Fails the test with the steps of this schedule, unless OK.
#define promise(ok, ...)                 \
    do {                                 \
        if (!(ok))                       \
            promise_broken(__VA_ARGS__); \
    } while (0)
_Noreturn void promise_broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
void trace_start(const char *title);
void trace(const char *format, ...) __attribute__((format(printf, 1, 2))); // a line, shown if a promise is broken

uint8_t promises_byte(unsigned region, unsigned unit); // the content of a unit, whoever writes it
void promises_check(void);                             // after each step
void promises_check_quiet(void);                       // when nothing is at work and no timer is due
void promises_check_nothing_left(void);                // when all clients have gone and all work is done
// Delivers the end of the work I, and checks that a failure has changed nothing.
void promises_deliver(unsigned i);
// A hash of all that decides what can happen next.
uint64_t promises_state(void);
