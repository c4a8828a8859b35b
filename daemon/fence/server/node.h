// The nodes of the server: each stands for one descriptor that a client got, and for all mappings made by it.  See the
// essay in server.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "proto/util/name.h"

struct server_node {
    uint64_t inode;    // of the disk's file
    uint64_t identity; // of the process that got the descriptor; 0: it can't be told from others
    uid_t owner;       // of the region
    struct handle handle;
    bool is_mark;     // the process maps the file by this descriptor
    bool awaits_open; // the daemon opens it once more, for reading only
    LIST_ENTRY(server_node) same_bucket;
};
LIST_HEAD(server_nodes, server_node);

// The table of all nodes with is_mark, by handle.  (An inode's number may be used again while somebody keeps a node of
// the file that had it before: a descriptor of O_PATH keeps the node and not the file.)
struct server_node_table {
    struct server_nodes *buckets;
};

int server_node_table_init(struct server_node_table *t); // 0 or -ENOMEM
void server_node_add(struct server_node_table *t, struct server_node *n);
// Removes N from the table, if it is there, and frees it.
void server_node_free(struct server_node *n);
// 1: all nodes of the region HANDLE, one at most, belong to the process IDENTITY; 0.
int server_node_is_alone(struct server_node_table *t, const struct handle *handle, uint64_t identity);
