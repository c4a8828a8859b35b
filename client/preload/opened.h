// The client of this process, which is opened when the first block is for the disk.  Any thread.
#pragma once
#include <diskalloc/client.h>

// Before the first block.  ADDRESS stays the caller's; "": the library's default.  TOLD is called once, on the thread
// that has opened the client.
void opened_begin(const char *address, void (*told)(void));
// 0 or -errno, and diskalloc_last_error() says why.  A daemon that is not there is asked again only after a while.
int opened_get(struct diskalloc **ret);
// The client if it is open; NULL: it is not.
struct diskalloc *opened_already(void);
// In a forked child.
void opened_forked(void);
