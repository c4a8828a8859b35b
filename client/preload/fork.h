// What a child has of its parent's memory on disk: see the essay in fork.c.
#pragma once

// Before anything else of this process runs that could fork.
void fork_begin(void);
// When the client library has its own hooks for forks: from now on a fork waits until nothing is half done.
void fork_watch(void);
