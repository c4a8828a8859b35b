// sqlite [DATABASE]: runs the SQL of its standard input, with a page cache that may be larger than memory.
//
// SQLite (package libsqlite3-dev) keeps the pages of a database in a cache, and all pages of an in-memory database.
// Both are blocks of its allocator, of a page and some 200 bytes each.  SQLITE_CONFIG_MALLOC puts that allocator upon a
// heap on disk (<diskalloc/heap.h>), so a database without a file (the default here, ":memory:") can have many times
// the size of memory, and a temporary index or a sort never ends with "out of memory" while the quota has room.
//
// Why not one of the two settings that are about the page cache alone:
//   - SQLITE_CONFIG_PAGECACHE takes one buffer of a fixed number of pages, and writes to each of them at the start to
//     link them; what does not fit comes from the allocator after all.
//   - SQLITE_CONFIG_PCACHE2 wants a whole cache: hashing, pinning, eviction.  The pages would lie in order, which saves
//     200 bytes a page.
//
// For a database with a file, a larger cache on the same disk is of no use: the cache size is left as SQLite sets it.
// The address is $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/heap.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

static struct diskalloc_heap *heap;

static void *allocate(int size)
{
    return diskalloc_heap_malloc(heap, (size_t)size);
}

static void release(void *block)
{
    diskalloc_heap_free(heap, block);
}

static void *resize(void *block, int size)
{
    return diskalloc_heap_realloc(heap, block, (size_t)size);
}

static int size_of(void *block)
{
    return (int)diskalloc_heap_usable_size(heap, block);
}

// SQLite asks how large a block would be, before it asks for the block.  Any multiple of 8 will do.
static int round_up(int size)
{
    return (size + 7) & ~7;
}

static int begin(void *data)
{
    (void)data;
    return heap ? SQLITE_OK : SQLITE_ERROR;
}

static void end(void *data)
{
    (void)data;
}

static const sqlite3_mem_methods on_disk = {
    .xMalloc = allocate,
    .xFree = release,
    .xRealloc = resize,
    .xSize = size_of,
    .xRoundup = round_up,
    .xInit = begin,
    .xShutdown = end,
};

static int print_row(void *data, int n, char **values, char **names)
{
    (void)data;
    (void)names;
    for (int i = 0; i < n; i++)
        printf("%s%s", i > 0 ? "|" : "", values[i] ? values[i] : "");
    putchar('\n');
    return 0;
}

static int fail(const char *why)
{
    fprintf(stderr, "sqlite: %s\n", why);
    return 1;
}

int main(int argc, char **argv)
{
    struct diskalloc *da;
    char *sql = NULL;
    size_t size = 0;
    sqlite3 *db;
    int status = 0;

    if (argc > 2) {
        fprintf(stderr, "usage: sqlite [DATABASE]\n");
        return 2;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0 || diskalloc_heap_new(da, &heap) < 0)
        return fail(diskalloc_last_error());
    // Before anything else of SQLite is called.
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &on_disk) != SQLITE_OK ||
        sqlite3_open(argc > 1 ? argv[1] : ":memory:", &db) != SQLITE_OK)
        return fail("SQLite can't be started");
    if (getdelim(&sql, &size, '\0', stdin) > 0 && sqlite3_exec(db, sql, print_row, NULL, NULL) != SQLITE_OK)
        status = fail(*diskalloc_last_error() ? diskalloc_last_error() : sqlite3_errmsg(db));
    free(sql);
    sqlite3_close(db);
    sqlite3_shutdown();
    diskalloc_heap_close(heap);
    diskalloc_close(da);
    return status;
}
