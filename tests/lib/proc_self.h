// This process, as /proc shows it: threads and their states, descriptors, mappings, pages of memory.
#pragma once
#include "tests/lib/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

size_t count_threads(void);
size_t count_descriptors(void);
// Shared mappings of files: regions, and nothing else that a test has.
size_t count_mappings(void);
void await_threads(size_t n);
// Whether one of this process's threads waits in the kernel.
bool is_asleep(pid_t tid);
// The thread that is not the calling one, where there are two; else 0.
pid_t other_thread(void);
// How often the thread has slept or lost its processor, and how long it has run.
uint64_t count_switches(pid_t tid);
uint64_t count_run_ns(pid_t tid);
// Pages from FROM to TO, of a mapping, that are in the process's page table.
size_t count_present(const char *base, uint64_t from, uint64_t to);
// Of the mapping that AT lies in, what large pages of a file are mapped as such.
unsigned count_large_kib(const char *at);
