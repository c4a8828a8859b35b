// The disks of the running daemon: opened at start, in the order of the configuration, and closed at the end.
//
// A disk that cannot be opened, fenced or read keeps the daemon from starting only if it is the first one, which has
// the quotas set at run time, or if another daemon has it.  Without another one the daemon goes on: the regions there
// are unavailable, and a reload tries again (opening.h).  So it does without a disk that hangs for minutes, which is
// opened when it answers.
#pragma once
#include <stdbool.h>

struct config;
struct daemon;
struct daemon_disk;

// Locks the spill directories that CONFIG names.  0; or -errno, and the reason was logged; -EBUSY: another daemon has
// one of them.
int disks_open(struct daemon *d, const struct config *config);
// A step of the start, on one disk.  0; or -errno, and *RET_ERROR is a sentence, to be freed, or NULL.
typedef int (*disks_step)(struct daemon_disk *x, void *data, char **ret_error);
// At start: takes STEP on each disk.  A disk that fails is not used, unless it is the first one or memory is short:
// then -errno.  The reason was logged.
int disks_step_all(struct daemon *d, disks_step step, void *data);
// The fences around the regions of all disks.  As disks_step_all.
int disks_fence(struct daemon *d, const struct config *config);
// Asks each disk for its space.  As disks_step_all.
int disks_look(struct daemon *d);
// Takes over the values that follow from CONFIG.  A disk that CONFIG names no longer stays, and gets no new region.
void disks_configure(struct daemon *d, const struct config *config);
void disks_log(const struct daemon *d); // a line for each disk
void disks_close(struct daemon *d);

// Opens one directory, which may block.  0; or -errno and *RET_ERROR is a sentence, to be freed.
int disks_open_one(struct daemon *d, const char *dir, bool require_mount, struct daemon_disk **ret, char **ret_error);
bool disks_require_mount(const struct config *config, const char *dir);
// The disk belongs to the daemon from now on.
void disks_append(struct daemon *d, struct daemon_disk *x);
void disks_free_one(struct daemon_disk *x);
bool disks_have(const struct daemon *d, const char *dir);
// Notes that DIR is not in use, and why.  IS_CONFIGURED: the configuration names it.
void disks_note_absence(struct daemon *d, const char *dir, const char *problem, bool is_configured);
#define DISKS_SILENT "the disk does not answer"
// The disk of DIR, which the configuration names, does not answer: tells PROBLEM, and notes the absence.
void disks_note_hang(struct daemon *d, const char *dir, const char *problem);
// Whether that was noted, and is still so.
bool disks_know_hang(const struct daemon *d, const char *dir);
void disks_forget_absence(struct daemon *d, const char *dir); // if there is one
