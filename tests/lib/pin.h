// Holding the kernel's lock of a file by a system call that never ends, as a hostile client can: the buffer of a
// write, or of a read past the page cache, lies in a page that nobody brings.  The lock is free when the pin is
// released, and also when its process ends, however it ends.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { PIN_MOST = 64 };

struct pin {
    int uffd;
    void *pages; // PIN_MOST of them
    unsigned n;
    struct pin_call {
        pthread_t thread;
        void *page;
        int fd;
        bool reads;
    } calls[PIN_MOST];
};

// False, with the reason printed, where that cannot be had (not root).
bool pin_is_possible(void);
// As root: a process that has another user afterwards may use P.  Assertions are NEED: this is for actors.
void pin_init(struct pin *p);
// Returns when the lock of FD's file is held.  FD may be open for reading only if READS.
void pin_hold(struct pin *p, int fd, bool reads);
void pin_release(struct pin *p); // all
