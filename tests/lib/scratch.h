// Directories and files that tests leave nothing of; private to the harness.
#pragma once
#include <stddef.h>

// A new directory below test_base_dir() that others may pass through.  It goes when this process ends, however it ends.
void fixture_make_dir(char *ret, size_t size);
void fixture_remove_tree(const char *path);
// The whole file as text, to be freed; NULL when it can't be read.
char *fixture_read_file(const char *path);
