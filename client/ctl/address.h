// Where the daemon is, from the options and the environment.
#pragma once

// The address from --address, or from --instance, or from $DISKALLOC_ADDRESS, or that of the default socket.  At most
// one of ADDRESS and INSTANCE is not NULL.
// Returns "unix:/...", which the caller frees; or NULL after a complaint.
char *address_resolve(const char *address, const char *instance);
// The path of the socket in an address that address_resolve returned.
const char *address_path(const char *address);
