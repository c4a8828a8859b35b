// What lists of regions share with the removal of one.
#pragma once
#include <jansson.h>

#include "proto/diskalloc.pb-c.h"

json_t *regions_holders_json(const Diskalloc__V1__Region *r);
