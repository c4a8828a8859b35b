// Projects of a file system, in the memory of the test: the few machines that have them are in tests/qemu.
#pragma once
#include "proto/spill/project.h"

enum fake_call { FAKE_NONE, FAKE_CHECK, FAKE_SET, FAKE_LIMIT, FAKE_USAGE };

extern const struct project_ops fake_projects;
extern _Atomic(enum fake_call) fake_failing; // this call fails
extern _Atomic int fake_failure;             // with this -errno
extern _Atomic unsigned n_fake_limits;       // calls that set a limit
extern _Atomic unsigned n_fake_refusals;     // of fake_allocate

void fake_projects_reset(void);
uint64_t fake_limit(uint32_t id); // as set; 0: none
uint32_t fake_project_of(int fd);
// N files that are not the test's are in the project ID.
void fake_files(uint32_t id, unsigned n);
// fallocate(2), for struct file_ops, as far as the project of FD's file allows: -EDQUOT.
int fake_allocate(int fd, int mode, uint64_t offset, uint64_t length);
