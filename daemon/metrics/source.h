// The parts of the daemon that the metrics are read from.  The caller fills in the struct for each reading.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct config;
struct disk_absence;
struct fence;
struct op_env;
struct quota;
struct spillfile_guarantee;
struct store_health;
struct store_space;
struct user_table;

// A disk: a spill directory and its file system.
struct metrics_disk {
    const char *path; // the spill directory
    dev_t device;     // of the file system, which others of these disks may have as well
    const struct spillfile_guarantee *guarantee;
    const struct fence *fence; // NULL, in tests: none
    const struct store_space *space;
    const struct store_health *health;
    bool is_stopped; // nothing new is granted, because of the problem that HEALTH names
    bool is_leaving; // nothing new is made here
    uint64_t keep_free;
    uint64_t free;    // bytes that can be granted
    uint64_t granted; // bytes
    uint64_t n_regions;
};

struct metrics_source {
    struct op_env *op;
    struct quota *quota;
    struct user_table *users;
    const struct config *config;
    const struct metrics_disk *disks;
    size_t n_disks;
    const struct disk_absence *absences; // spill directories that are not in use
    uint64_t available;                  // bytes of all disks: each file system once
    uint64_t started;                    // seconds since 1970
    uint64_t n_foreign, n_unreadable, n_lacking_blocks;
};
