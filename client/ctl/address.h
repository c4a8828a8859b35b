// Where the daemon is, from the options and the environment.
#pragma once

// One of ADDRESS and INSTANCE at most; both NULL: $DISKALLOC_ADDRESS, else the system's daemon.
// "unix:/..." to be freed; or NULL, and it was said on stderr why.
char *address_resolve(const char *address, const char *instance);
// The socket's path in what address_resolve returned.
const char *address_path(const char *address);
