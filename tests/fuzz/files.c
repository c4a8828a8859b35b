// Feeds a target with files, and with the files in directories: the corpus as a test, with any compiler.
#include <dirent.h>

#include "tests/fuzz/fuzz.h"

static size_t n_inputs;

static void feed_file(const char *path)
{
    FILE *f = fopen(path, "re");
    uint8_t *bytes = malloc(1 << 20), *exact;
    size_t n;

    FUZZ_ASSERT(f && bytes);
    n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    // As long as the input, for a sanitizer to see what lies beyond it.
    exact = malloc(n ? n : 1);
    FUZZ_ASSERT(exact);
    memcpy(exact, bytes, n);
    free(bytes);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    n_inputs++;
}

static void feed_directory(DIR *dir, const char *path)
{
    char name[4096];
    struct dirent *e;

    while ((e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        feed_file(name);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);

        if (dir)
            feed_directory(dir, argv[i]);
        else
            feed_file(argv[i]);
        if (dir)
            closedir(dir);
    }
    if (fuzz_finish)
        fuzz_finish();
    printf("%zu inputs\n", n_inputs);
    return n_inputs == 0;
}
