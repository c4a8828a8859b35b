// See config_fixture.h.
#include "tests/lib/config_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/load.h"
#include "tests/lib/scratch.h"

void warn(void *data, const char *sentence)
{
    struct config_fixture *f = data;
    size_t n = strlen(f->warnings);

    snprintf(f->warnings + n, sizeof(f->warnings) - n, "%s\n", sentence);
}

void config_fixture_init(struct config_fixture *f)
{
    *f = (struct config_fixture){0};
    scratch_make_dir(f->dir, sizeof(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/d.conf", f->dir);
}

void config_fixture_deinit(struct config_fixture *f)
{
    config_free(f->config);
    free(f->error);
    scratch_remove_tree(f->dir);
}

void write_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

void write_main(struct config_fixture *f, const char *text)
{
    write_bytes(f->path, text, strlen(text));
}

void write_drop_in(struct config_fixture *f, const char *name, const char *text)
{
    char path[400];

    snprintf(path, sizeof(path), "%s.d", f->path);
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    snprintf(path, sizeof(path), "%s.d/%s", f->path, name);
    write_bytes(path, text, strlen(text));
}

int load(struct config_fixture *f)
{
    config_free(f->config);
    free(f->error);
    f->config = NULL;
    f->error = NULL;
    f->warnings[0] = '\0';
    return config_load(f->path, NULL, warn, f, &f->config, &f->error);
}

void load_text(struct config_fixture *f, const char *text)
{
    write_main(f, text);
    if (load(f) < 0)
        fail_msg("%s", f->error);
}
