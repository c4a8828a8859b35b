// A server of the passthrough fence, as the daemon sees it.  See the essay in serving.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/fence/server/control.h"

struct serving;

// Starts a server for the spill directory DIR_FD, which has one mount then.  It ends when the calling thread ends.  0
// or -errno.
int serving_start(int dir_fd, struct serving **ret);
// Waits for the server's end, and kills it, if need be.  GENTLY: it is to end by itself, in time.  By the thread that
// has started it.
void serving_end(struct serving *s, bool gently);
void serving_free(struct serving *s); // after serving_end; nobody uses it

int serving_pidfd(const struct serving *s); // readable when the server has ended
// Whether an open has been under way for too long.
bool serving_hangs(struct serving *s);

// Opens a node for USER over FILE, the disk's, which stays the caller's.  ANNOUNCED says the rest but for the lane.
// The descriptor, or -errno.  Waits for the server.  On any thread.
int serving_open(struct serving *s, uid_t user, struct passthrough_packet *announced, int file);
// 1: no node of the region HANDLE is another process's than IDENTITY's, which has one at most; 0; -errno.
int serving_is_alone(struct serving *s, const struct handle *handle, uint64_t identity);
