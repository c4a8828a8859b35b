// Forks of the program: the lock that a fork takes, and hooks of the objects that a fork concerns.
//
// fork() copies the memory of the whole process and only one of its threads.  So in the child the locks that other
// threads held are never released, and the connection to the daemon is shared with the parent.  Each object that has
// such a thing registers a hook, which puts the object right in the child.
#pragma once
#include <sys/queue.h>

// In this order the hooks are called, before and after a fork: a hook may rely on those of the orders before its own.
enum fork_order {
    FORK_CONNECTION,
    FORK_CLIENT,
    FORK_REGION,
    FORK_ORDER_N,
};

// Embedded in the object that the hook belongs to.  All three functions are called with the lock held, and must not
// register or unregister another hook; child may unregister its own.  NULL: nothing is to be done then.
struct fork_hook {
    void (*prepare)(struct fork_hook *hook); // before the fork
    void (*parent)(struct fork_hook *hook);  // after the fork, in the parent
    void (*child)(struct fork_hook *hook);   // after the fork, in the child, which has one thread
    enum fork_order order;                   // written by fork_register, like entry
    TAILQ_ENTRY(fork_hook) entry;
};

// The lock of the process.  It guards the hooks, lists that belong to the whole process (the blocks of
// client/malloc.c, the backings of client/local), and descriptors between their making and their being noted
// somewhere.  A fork takes the lock, so the child sees all of that whole.  Hold it for a few instructions, and take
// no other lock while holding it.
void fork_lock(void);
void fork_unlock(void);

// The caller holds the lock.
void fork_register(struct fork_hook *hook, enum fork_order order);
void fork_unregister(struct fork_hook *hook);

// Has FUNCTION called before each fork, on the thread that forks, before the lock is taken.  One function of the
// process; called again with the same one, changes nothing.
void fork_call_before(void (*function)(void));

// The number of forks between this process and the one that loaded the library.  An object that was made at another
// generation was inherited from a parent.
unsigned fork_generation(void);
