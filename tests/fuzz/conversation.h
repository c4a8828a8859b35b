// Memory of the replies before a request, for an input's later requests: see conversation.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/diskalloc.pb-c.h"

enum {
    CURSOR_MOST = 512,
    SUBJECT_MOST = 300, // bytes of a quota's subject, and the NUL
    SUBJECTS_MOST = 16,
};

// On one connection.
struct conversation {
    uint64_t ask;  // of the last SHRINK_ASKED
    uint64_t size; // of the region that was told of last
    uint8_t cursor[CURSOR_MOST];
    size_t n_cursor;
};

// Quotas and names that outlive the connections of an input.
struct traces {
    bool has_names;    // of regions
    size_t n_subjects; // whose quotas were set; more than SUBJECTS_MOST: not all are noted
    char subjects[SUBJECTS_MOST][SUBJECT_MOST];
};

// Notes what REPLY says.
void conversation_note(struct conversation *c, const Diskalloc__V1__Reply *reply);
// Puts in what the request cannot know, DISKS being the spill directories, N_DISKS of them, and notes its traces.
// Writes the request to RET, where there is room for SIZE bytes, and returns its length.  What needs nothing, or is no
// request, stays the same bytes.
size_t conversation_fill(const struct conversation *c, const char *const *disks, size_t n_disks, struct traces *traces,
                         const uint8_t *bytes, size_t n, uint8_t *ret, size_t size);
