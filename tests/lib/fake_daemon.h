// A daemon of a few lines that answers as the test says, so that a connection can fail at chosen places.
#pragma once
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"
#include "proto/util/name.h"
#include "proto/util/ranges.h"

// The reaction to each request of a connection in turn; requests after the last one are answered.
//   .  do it and answer         x  close without doing it       d  do it and close without an answer
//   -  do it, do not answer     n  refuse: NOT_FOUND            s  refuse: SHUTTING_DOWN
//   a  refuse: ACCESS           i  refuse: IO               m  refuse: TOO_MANY_FILES    u  refuse: NOT_ATTACHED
//   <  do it, answer after the next one's answer
//   q  refuse: LIMIT                t  refuse: TIMED_OUT, both with numbers
//   e  do it, send two events, answer       p  the same, of which two tell how far a clone is
//   l  do it for its second half, and refuse: IO (shrink and discard: what could not be undone)
struct play {
    const char *connections[4];
    // Called by the daemon's thread when a connection has ended, before it accepts the next one.  May be NULL.
    void (*meanwhile)(struct play *p);
    int listener, file;
    // A letter per request: Hello Create Open Attach Detach Grow Shrink sTat coMmit Unlink openFile Query, Punch
    // (discard), Restore, List.
    char seen[256];
    size_t n_seen;
    struct handle handle;
    uint64_t size;
    struct ranges discarded;
    uint64_t wait_ms[8]; // of each Grow
    _Atomic size_t n_grows;
    Diskalloc__V1__Request held; // the request whose answer is held back: its id and kind
    pthread_t thread;
    bool joined;
    struct {
        char dir[150], address[176];
    } at;
};

void play_answer(const struct play *p, int sock, const Diskalloc__V1__Request *q, Diskalloc__V1__ErrorCode code);
void play_send_event(int sock, uint64_t used);
// False: the connection is to be closed.
bool play_serve_one(struct play *p, int sock, const Diskalloc__V1__Request *q, char action);
void play_serve(struct play *p, int sock, const char *actions);
void play_listen(struct play *p);
void play_start(struct play *p);
// After the client is closed.
void play_end(struct play *p);
struct diskalloc *client_of(const struct play *p, int reconnect_timeout_ms);
// The descriptor of the only socket that is connected to PATH, or to a name that begins so: a real daemon makes its
// socket under another name first.
int find_socket(const char *path);
