// A private directory with a configuration file and its drop-ins, and the result of loading them.
#pragma once
#include "tests/lib/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "tests/lib/scratch.h"

struct config_fixture {
    char dir[256], path[300];
    struct config *config;
    char *error;
    char warnings[4096];
};

void warn(void *data, const char *sentence);
void config_fixture_init(struct config_fixture *f);
void config_fixture_deinit(struct config_fixture *f);
void write_bytes(const char *path, const void *bytes, size_t n);
void write_main(struct config_fixture *f, const char *text);
void write_drop_in(struct config_fixture *f, const char *name, const char *text);
int load(struct config_fixture *f);
void load_text(struct config_fixture *f, const char *text);
