// Messages to the service manager: see notify.h.
#include "daemon/notify.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "proto/util/clock.h"
#include "proto/util/size.h"

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
    // With Type=notify-reload, the manager needs the time to tell this reload from others.
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now_us());
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1\nSTATUS=Waiting for the disk");
}

void notify_status(uint64_t regions, uint64_t bytes, uint64_t clients)
{
    char text[SIZE_TEXT_MAX];

    sd_notifyf(0, "STATUS=%" PRIu64 " region%s with %s, %" PRIu64 " client%s", regions, regions == 1 ? "" : "s",
               size_format(bytes, text), clients, clients == 1 ? "" : "s");
}

void notify_text(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

uint64_t notify_watchdog_period(void)
{
    uint64_t usec = 0;

    // Half of the interval after which the manager would end the daemon.
    return sd_watchdog_enabled(0, &usec) > 0 ? usec / 2 : 0;
}

void notify_watchdog(void)
{
    sd_notify(0, "WATCHDOG=1");
}
