// A program that somebody wants to run: where it is, and whether the loader would preload a library into it.
#pragma once
#include <limits.h>

// Finds the program NAME as execvp(3) does.  An exit status: EXIT_DONE and PATH, or another one after a complaint.
int program_find(const char *name, char path[static PATH_MAX]);
// EXIT_DONE; or EXIT_REFUSED after a complaint that says why no library can be preloaded into the program PATH: it is
// linked statically, has the rights of another user, is for another machine, or has a sanitizer.  A script is judged by
// the program that runs it.
int program_check(const char *path);
