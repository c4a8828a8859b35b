// See inside.h.
#include "client/preload/inside.h"

_Thread_local unsigned inside;
