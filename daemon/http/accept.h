// The header Accept of a request, as far as the two formats of metrics care.  Pure.
#pragma once
#include <stdbool.h>

// Whether OpenMetrics is wanted, and not less than plain text.  HEADER may be NULL: plain text.
bool accept_wants_openmetrics(const char *header);
