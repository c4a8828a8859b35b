// A run is a process of its own, so that none inherits another's heap, page tables or death.
#pragma once
#include "tests/bench/bench.h"
#include "tests/lib/cgroup.h"

// RUN(data, …) in a child, below GROUP (NULL: no limit), for SECONDS at most.  Its outcome is in the result.
struct bench_result child_run(void (*run)(const void *data, struct bench_result *ret), const void *data,
                              const struct cgroup *group, unsigned seconds);
// Touches BYTES of memory: a virtual machine gives free pages back to its host, and the first touch afterwards would
// be paid by whichever comes first.
void child_warm(size_t bytes);
