// csr [SCALE [DEGREE]]: builds a graph of 2^SCALE nodes with DEGREE edges each, and walks it; both beyond memory.
//
// A graph in compressed sparse rows is two arrays: `targets` has the ends of all edges, those of one node behind those
// of the node before, and `offsets` says where each node's begin.  It is built from a list of edges in any order:
//
//   1. edges are pushed;
//   2. sorted by their first node (edges_sort: beyond memory it reads and writes the disk in large pieces);
//   3. read once from the front to the back.  What was read is given back at once (diskalloc_region_discard), so edges
//      and targets together never need much more disk than the edges alone.
//
// The walk is a breadth-first search from node 0.  Its reads of offsets and targets have no order, and each would wait
// for the disk.  But the nodes of a step are known before they are needed: so a batch of them is announced
// (offsets_prefetch, targets_prefetch), and the disk reads all of them side by side.
//
// The defaults, 2^22 nodes with 16 edges, take 512 MiB as edges; 2^28 nodes take 32 GiB.  The address is
// $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/vec.h>

#include <stdio.h>
#include <stdlib.h>

#include "client/progress.h" // optional: for somebody who waits

struct edge {
    uint32_t from, to;
};
static inline int edge_less(const struct edge *a, const struct edge *b)
{
    return a->from != b->from ? a->from < b->from : a->to < b->to;
}
DISKALLOC_VEC_DEFINE(edges, struct edge)
DISKALLOC_VEC_DEFINE_ORDER(edges, struct edge, edge_less)
DISKALLOC_VEC_DEFINE(offsets, uint64_t)
DISKALLOC_VEC_DEFINE(targets, uint32_t)

enum {
    BATCH = 1024,           // nodes that are announced at a time
    DISCARD_STEP = 1 << 20, // edges
    ANNOUNCED_MOST = 16,    // targets of one node: those of a page come together
};

struct graph {
    struct offsets offsets; // n + 1 of them
    struct targets targets;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// Nodes with small numbers have more edges: so it is in real graphs.
static int make_edges(struct edges *e, uint32_t n_nodes, uint32_t degree)
{
    uint64_t state = 88172645463325252;
    struct progress p;
    int r = 0;

    progress_begin(&p, "making edges", (uint64_t)n_nodes * degree * sizeof *e->data);
    for (uint64_t i = 0; r == 0 && i < (uint64_t)n_nodes * degree; i++) {
        uint64_t x = next_random(&state), y = next_random(&state);

        r = edges_push(e, (struct edge){(uint32_t)(x % n_nodes), (uint32_t)(y % n_nodes & (y >> 40))});
        if (i % DISCARD_STEP == 0)
            progress_show(&p, i * sizeof *e->data);
    }
    progress_end(&p);
    return r;
}

static int build(struct graph *g, struct edges *e, uint32_t n_nodes)
{
    int r = edges_sort(e);

    for (uint64_t i = 0; r == 0 && i < e->len; i++) {
        while (r == 0 && g->offsets.len <= e->data[i].from)
            r = offsets_push(&g->offsets, g->targets.len);
        if (r == 0)
            r = targets_push(&g->targets, e->data[i].to);
        if (r == 0 && i % DISCARD_STEP == DISCARD_STEP - 1)
            r = diskalloc_region_discard(e->region, 0, (i + 1) * sizeof *e->data);
    }
    while (r == 0 && g->offsets.len <= n_nodes)
        r = offsets_push(&g->offsets, g->targets.len);
    return r;
}

static void announce(const struct graph *g, const uint32_t *nodes, size_t n)
{
    size_t places[BATCH * ANNOUNCED_MOST], n_places = 0;

    for (size_t i = 0; i < n; i++)
        places[i] = nodes[i];
    offsets_prefetch(&g->offsets, places, n); // a hint: it can't fail in a way that matters
    for (size_t i = 0; i < n; i++)
        for (uint64_t at = g->offsets.data[nodes[i]]; at < g->offsets.data[nodes[i] + 1]; at += 1024)
            if (n_places < sizeof places / sizeof *places)
                places[n_places++] = at;
    targets_prefetch(&g->targets, places, n_places);
}

// QUEUE has the nodes in the order in which they are reached: each step is a part of it.
static int walk(const struct graph *g, struct targets *depth, struct targets *queue)
{
    size_t from = 0, to = 1;
    int r = targets_push(queue, 0);

    for (uint32_t step = 1; r == 0 && from < to; step++) {
        for (size_t i = from; r == 0 && i < to; i++) {
            uint32_t node = queue->data[i];

            if ((i - from) % BATCH == 0)
                announce(g, queue->data + i, to - i < BATCH ? to - i : BATCH);
            for (uint64_t at = g->offsets.data[node]; r == 0 && at < g->offsets.data[node + 1]; at++) {
                uint32_t target = g->targets.data[at];

                if (target == 0 || depth->data[target] > 0)
                    continue;
                depth->data[target] = step;
                r = targets_push(queue, target);
            }
        }
        printf("%zu nodes at depth %u\n", to - from, step - 1);
        from = to;
        to = queue->len;
    }
    return r;
}

static int fail(void)
{
    fprintf(stderr, "csr: %s\n", diskalloc_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    unsigned long scale = argc > 1 ? strtoul(argv[1], NULL, 10) : 22,
                  degree = argc > 2 ? strtoul(argv[2], NULL, 10) : 16;
    struct targets depth, queue;
    uint64_t checksum = 0;
    struct diskalloc *da;
    struct edges edges;
    struct graph g;

    if (scale < 1 || scale > 31 || degree < 1 || degree > 1024) {
        fprintf(stderr, "usage: csr [SCALE [DEGREE]]   (1 to 31, 1 to 1024)\n");
        return 2;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0 || edges_init(&edges, da) < 0 || offsets_init(&g.offsets, da) < 0 ||
        targets_init(&g.targets, da) < 0 || targets_init(&depth, da) < 0 || targets_init(&queue, da) < 0 ||
        make_edges(&edges, 1U << scale, (uint32_t)degree) < 0 || build(&g, &edges, 1U << scale) < 0)
        return fail();
    edges_deinit(&edges);
    for (uint64_t i = 0; i < g.targets.len; i++)
        checksum = checksum * 31 + g.targets.data[i];
    printf("%zu nodes, %zu edges, checksum %016llx\n", g.offsets.len - 1, g.targets.len, (unsigned long long)checksum);
    if (targets_resize(&depth, (size_t)1 << scale) < 0 || walk(&g, &depth, &queue) < 0)
        return fail();
    offsets_deinit(&g.offsets);
    targets_deinit(&g.targets);
    targets_deinit(&depth);
    targets_deinit(&queue);
    diskalloc_close(da);
    return 0;
}
