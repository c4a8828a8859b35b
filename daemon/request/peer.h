// Who is at the other end of a connection, as far as requests care.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/region.h"
#include "daemon/user.h"
#include "proto/diskalloc.pb-c.h"
#include "proto/version.h"

enum {
    PEER_MAX_REQUESTS = 64,        // in flight and not waiting for a limit; more wait in the socket
    PEER_MAX_ATTACHMENTS = 100000, // of one connection
    USER_MAX_ATTACHMENTS = 1000000,
    USER_MAX_SILENT = 1024, // connections that have not been let in: no limit counts them yet
};

struct orphans;
struct request;

struct peer {
    struct user *user; // by SO_PEERCRED; a reference
    pid_t pid;         // 0: in another pid namespace
    char client_name[CLIENT_NAME_MAX + 1];
    bool said_hello;            // it may ask
    uint64_t features;          // of the protocol, that both know
    struct quota_charge charge; // one connection
    struct attachment_list attachments;
    uint64_t n_attachments;
    TAILQ_HEAD(, request) requests; // in flight
    unsigned n_requests, n_waiting; // n_waiting of them wait for a limit
    TAILQ_ENTRY(peer) of_user;
    // Sends it, with FD unless that is -1.  Takes FD.
    void (*reply)(struct peer *peer, const Diskalloc__V1__Reply *reply, int fd);
    // It may have room for another request.
    void (*resume)(struct peer *peer);
    // No more requests are taken; it closes when what was said has been sent.
    void (*hang_up)(struct peer *peer);
};

void peer_init(struct peer *peer, struct user *user, pid_t pid);
void peer_let_in(struct peer *peer); // Hello was said and granted
// Detaches everything.  Its requests must have been told to go on without it (request_forget_peer).
void peer_deinit(struct peer *peer, struct orphans *orphans);
int peer_attach(struct peer *peer, struct region *r, bool read_only); // 0, -ENOMEM, -EUSERS: too many
void peer_detach(struct peer *peer, struct attachment *a);
