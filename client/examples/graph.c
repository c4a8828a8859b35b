// graph NAME [SHORT]: a graph of small nodes on a heap, which is there again the next time.
//
// The first run makes a heap in the region NAME, and in it a binary tree of a million words (with any second argument,
// of 10,000).  Each run looks words up and says how deep they lie.  Nodes refer to each other by offsets, as the heap
// may lie elsewhere the next time.  The address is $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/heap.h>

#include <stdio.h>
#include <string.h>

struct node {
    uint64_t left, right; // offsets; 0: none
    char word[];
};

static int fail(void)
{
    fprintf(stderr, "graph: %s\n", diskalloc_last_error());
    return 1;
}

// The place that has WORD's offset, or where it belongs.  TREE is the place of the root node's offset.
static uint64_t *find(struct diskalloc_heap *h, uint64_t *tree, const char *word, int *ret_depth)
{
    *ret_depth = 0;
    while (*tree) {
        struct node *n = DISKALLOC_HEAP_POINTER(h, *tree);
        int order;

        if (!n)
            break;
        order = strcmp(word, n->word);
        if (order == 0)
            break;
        tree = order < 0 ? &n->left : &n->right;
        ++*ret_depth;
    }
    return tree;
}

static void make_word(unsigned i, char word[16])
{
    snprintf(word, 16, "%x", i * 2654435761u);
}

static int plant(struct diskalloc_heap *h, uint64_t *tree, unsigned n_words)
{
    for (unsigned i = 0; i < n_words; i++) {
        char word[16];
        uint64_t *place;
        struct node *n;
        int depth;

        make_word(i, word);
        place = find(h, tree, word, &depth);
        n = diskalloc_heap_calloc(h, 1, sizeof *n + strlen(word) + 1);
        if (!n)
            return -1;
        strcpy(n->word, word);
        *place = DISKALLOC_HEAP_OFFSET(h, n); // a node that a killed program leaves is whole
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *region;
    struct diskalloc_heap *h;
    struct diskalloc *da;
    uint64_t *tree;

    if (argc < 2) {
        fprintf(stderr, "usage: graph NAME [SHORT]\n");
        return 2;
    }
    o.flags = DISKALLOC_REGION_CREATE;
    if (diskalloc_open(NULL, NULL, &da) < 0 || diskalloc_region_open(da, argv[1], &o, &region) < 0 ||
        diskalloc_heap_open(region, &h) < 0)
        return fail();
    tree = diskalloc_heap_root(h);
    if (tree) {
        printf("the tree was there\n");
    } else {
        tree = diskalloc_heap_calloc(h, 1, sizeof *tree);
        if (!tree || plant(h, tree, argc > 2 ? 10000 : 1000000) < 0 || diskalloc_heap_set_root(h, tree) < 0)
            return fail();
    }
    for (unsigned i = 0; i < 10000; i += 3000) {
        char word[16];
        uint64_t *place;
        int depth;

        make_word(i, word);
        place = find(h, tree, word, &depth);
        printf("%s: %s %d\n", word, *place ? "at depth" : "not found at", depth);
    }
    diskalloc_heap_close(h);
    diskalloc_close(da);
    return 0;
}
