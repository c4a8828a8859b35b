// Facts that daemon, client and diskallocctl must agree on before the first packet can be understood.
#pragma once
#include "proto/diskalloc.pb-c.h"

enum {
    PROTOCOL_VERSION = 1, // the only one that there is: both the lowest and the highest in Hello
    // Every Feature bit that this source code knows.
    PROTOCOL_FEATURES = DISKALLOC__V1__FEATURE__FEATURE_EARLY_GROWTH | DISKALLOC__V1__FEATURE__FEATURE_HELD |
                        DISKALLOC__V1__FEATURE__FEATURE_EARLY_CREATE | DISKALLOC__V1__FEATURE__FEATURE_SHARING |
                        DISKALLOC__V1__FEATURE__FEATURE_CLONE | DISKALLOC__V1__FEATURE__FEATURE_MOVE |
                        DISKALLOC__V1__FEATURE__FEATURE_EVENTS,
    CLIENT_NAME_MAX = 64, // bytes of Hello.client_name that the daemon keeps
};

// The daemon's socket when nobody names one.  The daemon diskallocd@NAME has NAME.sock in the same folder.
#define SOCKET_DIR "/run/diskalloc"
#define DEFAULT_INSTANCE "diskallocd"
#define DEFAULT_SOCKET SOCKET_DIR "/" DEFAULT_INSTANCE ".sock"
