// jansson FILE: reads a JSON document that may be larger than memory, and says what is in it.
//
// Jansson (package libjansson-dev) makes a block for each value of a document: many small blocks, of which it frees
// some.  That is what <diskalloc/heap.h> is for: json_set_alloc_funcs puts all of Jansson upon a heap on disk.  The
// program goes on as before: json_load, json_object_get and so on.
//
//   - A heap's functions are thread-safe, so Jansson is as thread-safe as before.
//   - A refusal is NULL, and Jansson reports that it is out of memory; the library's sentence says which limit it was.
//   - A document of 1 GiB takes some 5 GiB as values.  What the program looks at is in memory, the rest is on disk.
//   - To throw a whole document away, close the heap: that frees a region, not a million blocks.
//
// The address is $DISKALLOC_ADDRESS, or the daemon's.
#include <diskalloc/heap.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static struct diskalloc_heap *heap;

static void *allocate(size_t size)
{
    return diskalloc_heap_malloc(heap, size);
}

static void release(void *block)
{
    diskalloc_heap_free(heap, block);
}

struct summary {
    unsigned long objects, arrays, strings, numbers, others, string_bytes;
    long long sum; // of the integers
};

static void look(const json_t *value, struct summary *s)
{
    const char *key;
    json_t *child;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        s->objects++;
        json_object_foreach((json_t *)value, key, child) look(child, s);
        break;
    case JSON_ARRAY:
        s->arrays++;
        json_array_foreach(value, i, child) look(child, s);
        break;
    case JSON_STRING:
        s->strings++;
        s->string_bytes += json_string_length(value);
        break;
    case JSON_INTEGER:
        s->numbers++;
        s->sum += json_integer_value(value);
        break;
    case JSON_REAL:
        s->numbers++;
        break;
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        s->others++;
        break;
    }
}

static int fail(void)
{
    fprintf(stderr, "jansson: %s\n", diskalloc_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    struct summary s = {0};
    struct diskalloc *da;
    json_error_t error;
    json_t *document;

    if (argc != 2) {
        fprintf(stderr, "usage: jansson FILE\n");
        return 2;
    }
    if (diskalloc_open(NULL, NULL, &da) < 0 || diskalloc_heap_new(da, &heap) < 0)
        return fail();
    json_set_alloc_funcs(allocate, release);
    document = json_load_file(argv[1], 0, &error);
    if (!document && *diskalloc_last_error())
        return fail();
    if (!document) {
        fprintf(stderr, "jansson: %s, line %d: %s\n", argv[1], error.line, error.text);
        return 1;
    }
    look(document, &s);
    printf("%lu objects, %lu arrays, %lu strings of %lu bytes, %lu numbers, %lu others; the integers' sum is %lld\n",
           s.objects, s.arrays, s.strings, s.string_bytes, s.numbers, s.others, s.sum);
    // json_decref(document) would free value after value.
    diskalloc_heap_close(heap);
    diskalloc_close(da);
    return 0;
}
