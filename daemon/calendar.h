// The time of day, and by how much somebody has set it: for what lasts across restarts.
//
// A machine may begin with a wrong time, until the network tells it the right one; and whoever sets the time may err.
// Then a month seems to have passed in a moment.  So the time of day is compared with a clock that nobody can set.
// While no daemon runs, nobody compares.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// All zero at the beginning.  Seconds.
struct calendar {
    bool is_known; // wall and steady are valid: as of the last look
    int64_t wall, steady;
    int64_t set_by; // the sum of all by which the time was set while this daemon runs; less than 0: back
};

// Seconds since 1970.  Looks first whether the time was set.
uint64_t calendar_now(struct calendar *c);
// The same, for given clocks: the time of day and the steady one, in seconds.
void calendar_note(struct calendar *c, int64_t wall, int64_t steady);
// TIME, noted when set_by was THEN, on the present calendar.
uint64_t calendar_convert(const struct calendar *c, uint64_t time, int64_t then);
