// Scratch directories for tests, and the files in them.
#pragma once
#include <stddef.h>
#include <stdint.h>

// The directory for big files of tests: $DISKALLOC_TEST_DIR, else /var/tmp.
const char *test_base_dir(void);

// Makes a new directory below test_base_dir(), which other users may pass through.  The directory is removed when
// this process ends, however the process ends.
void scratch_make_dir(char *ret, size_t size);
void scratch_remove_tree(const char *path);
// Returns the text of the whole file, to be freed; NULL when the file can't be read.
char *scratch_read_file(const char *path);

// Counts the files of regions in a spill directory: the regular files whose names do not begin with a dot.
size_t test_count_files(const char *dir);
// Returns the sum of their sizes, each rounded up to 4 KiB.
uint64_t test_sum_sizes(const char *dir);
