// Tests of the passthrough fence: whether this machine has it, and its server.
#pragma once
#include <sys/types.h>

#define PASSTHROUGH_CONFIG "[daemon]\nkeep_free = 0\nfence = passthrough\n"

// Ends the whole program as skipped where there is no such fence.
void passthrough_need(void);
// The server of the daemon DAEMON; waits until there is one.
pid_t passthrough_server(pid_t daemon);
