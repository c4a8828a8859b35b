// lua SCRIPT [ARGUMENT...]: runs a Lua program whose tables and strings may be larger than memory.
//
// Lua (package liblua5.4-dev) takes one function for all of its memory, lua_Alloc, which is given to lua_newstate.
// Here that function is a heap on disk (<diskalloc/heap.h>), so scripts need no change at all.
//
//   - A refusal by a quota or a full disk is NULL to Lua: it collects garbage, tries again, and then raises "not enough
//     memory", which a script can catch with pcall.  Nothing is lost.
//   - Lua relies on shrinking never to fail: diskalloc_heap_realloc promises that.
//   - The collector walks over everything that lives, and so reads it from the disk.  A script that fills large tables
//     does well to call collectgarbage("generational"), or to set a longer pause: collectgarbage("incremental", 1000).
//   - Lua's state goes with the heap: at the end nothing is freed block by block.
//
// The address is $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/heap.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

static void *allocate(void *heap, void *block, size_t old_size, size_t size)
{
    (void)old_size;
    if (size > 0)
        return diskalloc_heap_realloc(heap, block, size);
    diskalloc_heap_free(heap, block);
    return NULL;
}

static int fail(const char *why)
{
    fprintf(stderr, "lua: %s\n", why);
    return 1;
}

// Protected, as opening the libraries and making the arguments allocate memory.
static int run(lua_State *L)
{
    char **argv = lua_touserdata(L, 1);
    int n = 0;

    luaL_openlibs(L);
    if (luaL_loadfile(L, argv[1]) != LUA_OK)
        return lua_error(L);
    for (; argv[2 + n]; n++) {
        luaL_checkstack(L, 1, "too many arguments");
        lua_pushstring(L, argv[2 + n]);
    }
    lua_call(L, n, 0);
    return 0;
}

int main(int argc, char **argv)
{
    struct diskalloc_heap *heap;
    struct diskalloc *da;
    lua_State *L;
    int status = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: lua SCRIPT [ARGUMENT...]\n");
        return 2;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0 || diskalloc_heap_new(da, &heap) < 0)
        return fail(diskalloc_last_error());
    L = lua_newstate(allocate, heap);
    if (!L)
        return fail(diskalloc_last_error());
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, argv);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        status = fail(lua_tostring(L, -1));
    fflush(stdout);
    diskalloc_heap_close(heap);
    diskalloc_close(da);
    return status;
}
