// The server of the daemon's FUSE mounts, a process of its own.  See the essay in server.c.
#pragma once

// The main function of that process.  It returns when the daemon has ended.
int server_main(void);
