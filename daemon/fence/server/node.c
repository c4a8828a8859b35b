// The table of nodes: see node.h.
#include "daemon/fence/server/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { N_BUCKETS = 16 * 1024 };

int server_node_table_init(struct server_node_table *t)
{
    t->buckets = calloc(N_BUCKETS, sizeof *t->buckets);
    return t->buckets ? 0 : -ENOMEM;
}

// Clients choose handles, so one could make many of the same bucket, and slow down the questions about these: that is
// bounded by the nodes that a lane may have.
static struct server_nodes *bucket_of(struct server_node_table *t, const struct handle *handle)
{
    uint64_t a, b;

    memcpy(&a, handle->bytes, sizeof a);
    memcpy(&b, handle->bytes + sizeof a, sizeof b);
    return &t->buckets[((a ^ b) * 0x9e3779b97f4a7c15U) >> 50];
}

void server_node_add(struct server_node_table *t, struct server_node *n)
{
    if (n->is_mark)
        LIST_INSERT_HEAD(bucket_of(t, &n->handle), n, same_bucket);
}

void server_node_free(struct server_node *n)
{
    if (n->is_mark)
        LIST_REMOVE(n, same_bucket);
    free(n);
}

int server_node_is_alone(struct server_node_table *t, const struct handle *handle, uint64_t identity)
{
    const struct server_node *n;
    unsigned own = 0;

    LIST_FOREACH (n, bucket_of(t, handle), same_bucket) {
        if (!handle_equal(&n->handle, handle))
            continue;
        if (n->identity != identity || identity == 0 || ++own > 1)
            return 0;
    }
    return 1;
}
