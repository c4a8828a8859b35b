// The project of each region, whose limit the kernel keeps the holders of descriptors within.  See the essay in
// projects.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/spill/project.h"

struct projects;

// The project of one region.  Zeroed: the region has no project.  Only the operation at work on the region writes it.
struct project {
    uint32_t id;    // 0: none
    uint64_t limit; // bytes, as set last; 0: not known
};

// Tries on an unnamed file of the directory DIR_FD, which is borrowed, whether the kernel bounds files by projects
// here, and lets this process set the bounds.  OPS: &project_ops_system, or the functions of a test.  0; or -errno and
// *RET_WHY says what is missing, in static storage.
int projects_new(const struct project_ops *ops, int dir_fd, struct projects **ret, const char **ret_why);
void projects_free(struct projects *p);

// In the functions below P may be NULL: the fence does not hold, but files may be in projects of an earlier daemon.

// At start: the file of a region is in the project ID.  *RET has it if it is one of the daemon's and no other region
// has.
void projects_adopt(struct projects *p, uint32_t id, struct project *ret);
// Sets the limit of X to BYTES and a little more: before blocks are allocated, or after some were freed.  GROWS: more
// will be asked for soon, and the limit is set ahead of that.  FD: the region's file, which is put into a project if it
// is in none yet; without a fence it is taken out of its project, which would bound it for ever.  A failure is logged,
// once.  On a worker; may hang as long as the file's lock is held, if the file has to change its project.
void projects_bound(struct projects *p, int fd, struct project *x, uint64_t bytes, bool grows);
// Whether the limit is higher than projects_bound would set it.
bool projects_is_loose(const struct projects *p, const struct project *x, uint64_t bytes, bool grows);
// The region's file is gone.  On a worker.
void projects_release(struct projects *p, struct project *x);
// Whether the limit of X refuses BYTES more.  On a worker.
bool projects_refuses(struct projects *p, const struct project *x, uint64_t bytes, struct project_usage *ret);
