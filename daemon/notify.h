// Tells the service manager about the state of the daemon, by sd_notify(3).  Without a service manager these functions
// do nothing.
#pragma once
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void); // notify_ready tells that the reload has ended
void notify_stopping(void);
// The line that `systemctl status` shows.  BYTES are those charged.
void notify_status(uint64_t regions, uint64_t bytes, uint64_t clients);
// Another text in its place.
void notify_text(const char *text);
// How often to call notify_watchdog, in microseconds; 0: never.
uint64_t notify_watchdog_period(void);
void notify_watchdog(void);
