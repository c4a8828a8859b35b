// Two client processes that follow scripts, and note what they may touch.  See the essay in actors.c.
#pragma once
#include "tests/op/machine.h"

#include "daemon/request/peer.h"

enum {
    ACTORS = 2,
    ACTOR_REGIONS = 2,
    ACTOR_MOST_STEPS = 10,
    ACTOR_MOST_FLIGHTS = 8,
    ACTOR_UNIT = 2048,      // bytes: sizes in scripts; half a block
    ACTOR_MOST_UNITS = 16,  // of a region
    ACTOR_CONNECTIONS = 64, // of one schedule
};

enum step_kind {
    STEP_NONE,
    STEP_CREATE, // with SIZE
    STEP_OPEN,   // by name; with SIZE, if it is made
    STEP_ATTACH,
    STEP_GROW,      // to SIZE
    STEP_GROW_WAIT, // to SIZE, for WAIT_MS
    STEP_EARLY,
    STEP_SHRINK,
    STEP_DISCARD, // from OFFSET, of SIZE
    STEP_RESTORE,
    STEP_DETACH,
    STEP_MOVE, // to the disk of the number SIZE
    STEP_UNLINK,
    STEP_CLONE,  // a copy of the region of the number OFFSET
    STEP_CANCEL, // whatever is in flight
    STEP_LOSE,   // the connection ends, and the process lives
    STEP_DIE,
};

struct step {
    enum step_kind kind;
    unsigned region;
    unsigned size, offset; // ACTOR_UNITs
    uint64_t wait_ms;
};

struct flight {
    uint64_t id; // 0: none
    struct step step;
    bool is_scripted, returns; // a step of the script; the region is attached again
    unsigned length_before;    // of a shrink
};

struct mapping {
    int fd;             // -1: not mapped
    unsigned length;    // ACTOR_UNITs that the process may touch
    uint64_t told;      // bytes: the region's size as the daemon has said
    uint32_t discarded; // a bit for each unit
    bool attached;      // on the present connection
};

struct connection {
    struct peer peer;
    struct actor *actor; // NULL: it has ended at the client's side
    bool is_seen_ended, is_used;
};

struct actor {
    const char *name;
    unsigned user;
    pid_t pid;
    bool alive, in_container;
    struct connection *connection; // NULL: none
    const struct step *script;
    unsigned position;
    struct step again; // a request that was lost with its connection; STEP_NONE: none
    struct flight flights[ACTOR_MOST_FLIGHTS];
    uint64_t last_id;
    struct mapping maps[ACTOR_REGIONS];
};

extern struct actor actors[ACTORS];
extern struct connection connections[ACTOR_CONNECTIONS];
extern unsigned n_connections;

void actors_open(void); // makes the processes
void actors_close(void);
// IN_CONTAINERS: their pids are of other namespaces, so they can't be told from others, and marks tell nothing of them.
void actors_start(const struct step *const scripts[ACTORS], bool two_users, bool in_containers);
struct handle actor_handle(unsigned region);
struct region *actor_region(unsigned region); // NULL: the daemon has none

bool actor_can_go_on(const struct actor *a); // the next step of the script, or of coming back, is possible
const char *actor_go_on(struct actor *a);    // says which
void actor_lose(struct actor *a);            // the connection ends
void actor_unmap(struct actor *a);           // everything
// The daemon sees that the connection has ended.
void connection_end(struct connection *c);
void connections_forget(void); // the daemon was killed: so have all

// requests.c: serves the request Q, which is the step S; RETURNS: of a process that maps the region already.
void actor_send(struct actor *a, Diskalloc__V1__Request *q, const struct step *s, bool returns);

// answers.c:

struct flight *actor_find_flight(struct actor *a, uint64_t id); // 0: a free one; NULL: there is none
const char *actor_step_name(enum step_kind kind);
void actor_take_reply(struct peer *peer, const Diskalloc__V1__Reply *reply, int fd); // for peer.reply
