// What the service manager is told: sd_notify(3), nothing where there is none.
#pragma once
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void); // notify_ready ends it
void notify_stopping(void);
void notify_status(uint64_t regions, uint64_t bytes, uint64_t clients);
// How often the watchdog wants to hear of us, in microseconds; 0: never.
uint64_t notify_watchdog_period(void);
void notify_watchdog(void);
