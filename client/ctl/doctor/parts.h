// The parts of `doctor`: each looks at one side of things, and adds what it finds.
#pragma once
#include "client/ctl/doctor/findings.h"

// The address, the socket, the service, and whether the daemon answers.  True: it does, and CTL is connected.
bool doctor_daemon(struct ctl *ctl, struct findings *f);
// The spill directories and their disks, as the daemon says and as they look from here.
void doctor_spill(const Diskalloc__V1__Status *s, struct findings *f);
// Limits and usage, as far as the caller may see them.
void doctor_quotas(struct ctl *ctl, const Diskalloc__V1__Status *s, struct findings *f);
// This machine and this process: what programs here would meet.
void doctor_machine(struct findings *f);
