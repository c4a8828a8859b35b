// The time of day: see calendar.h.
#include "daemon/calendar.h"

#include <time.h>

enum { LEAST_STEP_S = 60 }; // a clock that is corrected little by little is not set

void calendar_note(struct calendar *c, int64_t wall, int64_t steady)
{
    int64_t step = (wall - c->wall) - (steady - c->steady);

    if (c->is_known && (step >= LEAST_STEP_S || step <= -LEAST_STEP_S))
        c->set_by += step;
    *c = (struct calendar){.is_known = true, .wall = wall, .steady = steady, .set_by = c->set_by};
}

uint64_t calendar_now(struct calendar *c)
{
    struct timespec steady;
    time_t wall = time(NULL);

    clock_gettime(CLOCK_BOOTTIME, &steady); // a suspended machine's time goes on
    calendar_note(c, wall, steady.tv_sec);
    return (uint64_t)wall;
}

uint64_t calendar_convert(const struct calendar *c, uint64_t time, int64_t then)
{
    int64_t by = c->set_by - then;

    if (by < 0)
        return time > (uint64_t)-by ? time - (uint64_t)-by : 0;
    return time + (uint64_t)by;
}
