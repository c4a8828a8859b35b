// Makes the kernel look older to a daemon under test.
#pragma once

// For test_daemon_prepare, or a child before exec: from now on the process and its children do not know SO_PASSRIGHTS,
// as before Linux 6.16.
void old_kernel_without_passrights(void);
// For a child: from now on the process does not know cachestat, as before Linux 6.5.
void old_kernel_without_cachestat(void);
