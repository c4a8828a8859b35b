// For the tests of early growth: whether a vector has asked early, and a daemon that does not answer.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include "client/region/region.h"
#include "client/remote/remote_internal.h"

bool is_on_its_way(const struct u64s *v);
// From an empty vector, until the library has asked.
void push_until_asked(struct u64s *v);
