// Where the daemon is, from the options and the environment.
#pragma once
#include <stdbool.h>

#include "client/ctl/text.h"

// The address from --address, or from --instance, or from $DISKALLOC_ADDRESS, or that of the default socket.  At most
// one of ADDRESS and INSTANCE is not NULL.
// Returns "unix:/...", which the caller frees; or NULL after a complaint.  MAY_BE_DIRECTORY: also "dir:/...".
char *address_resolve(const char *address, const char *instance, bool may_be_directory);
// Whether it is "dir:/...".
bool address_is_directory(const char *address);
// True if ADDRESS is a socket of systemd's units.  INSTANCE becomes the name of the instance, "" for the daemon itself.
bool address_instance(const char *address, char instance[static TEXT_MAX]);
// Whether the socket PATH is a mount point by itself: then it stays the one that was there when it was mounted.
bool address_is_mounted(const char *path);
// The path of the socket, or of the directory, in an address that address_resolve returned.
const char *address_path(const char *address);
