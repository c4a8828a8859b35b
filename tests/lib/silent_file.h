// A file on a FUSE file system that this test serves itself, and that answers nothing when the test says so: then
// whoever flushes or releases the file waits, past SIGKILL.
//
// No process of the test can be left waiting.  The file system lives in namespaces of its own.  One process holds the
// device and does nothing but serve; it ends with the test, however the test ends, or after SILENT_FILE_SECONDS, and
// the kernel then aborts all requests.  The test itself never holds the file: another process opens and sends it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SILENT_FILE_SECONDS = 110 };

struct silent_file {
    pid_t host; // mounts, opens and sends
    int to_host, life;
};

// False, with the reason printed, where there is no FUSE for this user.  UID: who serves and sends; -1: this user.
bool silent_file_begin(struct silent_file *f, uid_t uid);
// Sends N bytes over SOCK as one packet, with N_FDS descriptors of the file, each opened anew and held by nobody else.
// 0 or -errno.
int silent_file_send(const struct silent_file *f, int sock, const void *bytes, size_t n, unsigned n_fds);
// From now on the file system does not answer, and the file has pages that must be written before it can be released.
void silent_file_hush(const struct silent_file *f);
// Ends the file system: whatever waits for it goes on.
void silent_file_end(struct silent_file *f);
