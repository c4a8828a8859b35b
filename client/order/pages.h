// Tells the kernel which pages of a region a sort will need next, and which ones it has done with.  See the essay in
// pages.c.  One thread at a time calls these functions.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct mapping;
struct pages;

// MAPPING: must outlive the pages.  FD: of the mapped file, or -1: nothing is written early; stays the caller's.
// THREAD: there may be one.  NULL: no memory.
struct pages *pages_new(const struct mapping *mapping, int fd, bool thread);
// Forgets what was announced and not begun yet.  NULL is fine.
void pages_free(struct pages *p);
// LENGTH bytes at AT, which are granted: they will be read and written soon; they are read and written next, and the
// call waits for the disk; they were written, and will not be needed for a while.  P may be NULL: nothing is done.
void pages_announce(struct pages *p, const char *at, size_t length);
void pages_need(struct pages *p, const char *at, size_t length);
void pages_release(struct pages *p, const char *at, size_t length);
