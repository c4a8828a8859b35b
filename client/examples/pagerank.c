// pagerank: which nodes of a graph matter, for a graph whose edges are more than memory holds.
//
//     pagerank [--address ADDRESS] [--rounds N] [--top N] FILE
//
// FILE has an edge in each line, "FROM TO": the numbers of two nodes; lines that begin with # are comments (the format
// of the graphs at snap.stanford.edu).  The rank of a node is the chance to meet a walker there who follows an edge at
// random from node to node, and now and then (15 % of the steps, and where no edge leads on) begins again anywhere.
//
// What is read in which order decides how fast this is, once it does not fit into memory:
//
//   - The edges are sorted by the node that they lead to (edges_sort works beyond memory).  So a round reads them from
//     the front to the back, at the speed of the disk, and makes the ranks of the nodes in order as well.
//   - The one thing that is read at random places is `share`, what a node gives along each of its edges: 8 bytes a
//     node.  There are many more edges than nodes: so `share` can be in memory while the edges are not.
//
// There is no difference between the two in the program: all of it are vectors, and what is used most stays in memory.
//
//     systemd-run --user --scope -p MemoryMax=1G pagerank twitter-2010.txt
#include <diskalloc/vec.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/progress.h" // optional: for somebody who waits

struct edge {
    uint32_t from, to;
};
static inline int edge_less(const struct edge *a, const struct edge *b)
{
    return a->to != b->to ? a->to < b->to : a->from < b->from;
}
DISKALLOC_VEC_DEFINE(edges, struct edge)
DISKALLOC_VEC_DEFINE_ORDER(edges, struct edge, edge_less)

struct node {
    double rank;
    uint32_t number, degree; // degree: edges that lead away
};
static inline int node_less(const struct node *a, const struct node *b) // the highest rank first
{
    return a->rank != b->rank ? a->rank > b->rank : a->number < b->number;
}
DISKALLOC_VEC_DEFINE(nodes, struct node)
DISKALLOC_VEC_DEFINE_ORDER(nodes, struct node, node_less)
DISKALLOC_VEC_DEFINE(shares, double)

struct graph {
    struct edges edges;
    struct nodes nodes;
    struct shares shares;
};

struct arguments {
    const char *address, *file;
    unsigned long n_rounds, n_top;
};

static const double FOLLOWS = 0.85; // the chance that the walker follows an edge
static const double EXACT = 1e-10;  // when all ranks together change by less, they are right

static int parse_arguments(int argc, char **argv, struct arguments *ret)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--address") && i + 1 < argc)
            ret->address = argv[++i];
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            ret->n_rounds = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--top") && i + 1 < argc)
            ret->n_top = strtoul(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && !ret->file)
            ret->file = argv[i];
        else
            return -1;
    }
    return ret->file && ret->n_rounds > 0 ? 0 : -1;
}

// Number NODE and all below it are in the graph from now on.
static int need_node(struct nodes *v, uint32_t node)
{
    int r = 0;

    while (r == 0 && v->len <= node)
        r = nodes_push(v, (struct node){.number = (uint32_t)v->len});
    return r;
}

static int add_edge(struct graph *g, struct edge e)
{
    int r = need_node(&g->nodes, e.from > e.to ? e.from : e.to);

    if (r == 0)
        r = edges_push(&g->edges, e);
    if (r == 0)
        g->nodes.data[e.from].degree++;
    return r;
}

static int read_edges(struct graph *g, FILE *f, struct progress *p)
{
    uint64_t n_read = 0, n_lines = 0;
    char line[256];
    int r = 0;

    while (r == 0 && fgets(line, sizeof line, f)) {
        struct edge e;

        n_read += strlen(line);
        n_lines++;
        if (*line == '#' || *line == '\n')
            continue;
        if (sscanf(line, "%" SCNu32 " %" SCNu32, &e.from, &e.to) != 2) {
            progress_end(p);
            fprintf(stderr, "pagerank: line %" PRIu64 " is not two numbers: %s", n_lines, line);
            return -EBADMSG;
        }
        r = add_edge(g, e);
        if (g->edges.len % 4096 == 0)
            progress_show(p, n_read);
    }
    return r == 0 && ferror(f) ? -EIO : r;
}

// What each node gives along each edge.  Returns what those have who have no edges: all nodes get it.
static double share_out(struct graph *g)
{
    double left = 0;

    for (size_t i = 0; i < g->nodes.len; i++) {
        const struct node *n = &g->nodes.data[i];

        g->shares.data[i] = n->degree > 0 ? n->rank / n->degree : 0;
        left += n->degree > 0 ? 0 : n->rank;
    }
    return left;
}

// One step of all walkers.  Returns by how much the ranks have changed.
static double walk(struct graph *g, struct progress *p, uint64_t n_before)
{
    double n_nodes = (double)g->nodes.len, changed = 0;
    double anywhere = (1 - FOLLOWS + FOLLOWS * share_out(g)) / n_nodes;
    size_t e = 0;

    for (size_t i = 0; i < g->nodes.len; i++) {
        double sum = 0, rank;

        for (; e < g->edges.len && g->edges.data[e].to == i; e++)
            sum += g->shares.data[g->edges.data[e].from];
        rank = anywhere + FOLLOWS * sum;
        changed += fabs(rank - g->nodes.data[i].rank);
        g->nodes.data[i].rank = rank;
        if (i % 4096 == 0)
            progress_show(p, n_before + e * sizeof(struct edge));
    }
    return changed;
}

static int rank(struct graph *g, unsigned long n_rounds)
{
    uint64_t bytes = g->edges.len * sizeof(struct edge);
    unsigned long n = 0;
    double changed = 1;
    struct progress p;
    int r = edges_sort(&g->edges);

    if (r == 0)
        r = shares_resize(&g->shares, g->nodes.len);
    if (r < 0)
        return r;
    for (size_t i = 0; i < g->nodes.len; i++)
        g->nodes.data[i].rank = 1 / (double)g->nodes.len;
    progress_begin(&p, "walking", n_rounds * bytes); // less, if the ranks are exact before
    for (; n < n_rounds && changed > EXACT; n++)
        changed = walk(g, &p, n * bytes);
    progress_end(&p);
    printf("%zu nodes, %zu edges, %lu rounds, the last changed %.1e\n", g->nodes.len, g->edges.len, n, changed);
    return 0;
}

static int print_top(struct graph *g, size_t n)
{
    int r = nodes_sort(&g->nodes);

    for (size_t i = 0; r == 0 && i < n && i < g->nodes.len; i++)
        printf("%" PRIu32 " %.12f\n", g->nodes.data[i].number, g->nodes.data[i].rank);
    return r;
}

static int run(struct graph *g, const struct arguments *a, struct diskalloc *da, FILE *f)
{
    struct progress p;
    struct stat st;
    int r = edges_init(&g->edges, da);

    if (r == 0)
        r = nodes_init(&g->nodes, da);
    if (r == 0)
        r = shares_init(&g->shares, da);
    if (r == 0) {
        progress_begin(&p, "reading", fstat(fileno(f), &st) == 0 ? (uint64_t)st.st_size : 0);
        r = read_edges(g, f, &p);
        progress_end(&p);
    }
    if (r == 0)
        r = rank(g, a->n_rounds);
    return r == 0 ? print_top(g, a->n_top) : r;
}

int main(int argc, char **argv)
{
    struct arguments a = {.n_rounds = 100, .n_top = 10};
    struct graph g = {0};
    struct diskalloc *da = NULL;
    FILE *f;
    int r;

    if (parse_arguments(argc, argv, &a) < 0) {
        fprintf(stderr, "usage: pagerank [--address ADDRESS] [--rounds N] [--top N] FILE\n");
        return 2;
    }
    f = fopen(a.file, "re");
    if (!f) {
        perror(a.file);
        return 1;
    }
    r = diskalloc_open(a.address, NULL, &da);
    if (r == 0)
        r = run(&g, &a, da, f);
    if (r < 0 && r != -EBADMSG)
        fprintf(stderr, "pagerank: %s\n", *diskalloc_last_error() ? diskalloc_last_error() : strerror(-r));
    edges_deinit(&g.edges);
    nodes_deinit(&g.nodes);
    shares_deinit(&g.shares);
    diskalloc_close(da);
    fclose(f);
    return r < 0;
}
