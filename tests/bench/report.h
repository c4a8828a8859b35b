// Medians and ratios for people, all numbers and the machine's facts for programs.
#pragma once
#include <jansson.h>

#include "tests/bench/series.h"

void report_print(const struct series *s);
void report_write_json(const struct series *s, json_t *machine, const char *path); // takes MACHINE over
// Runs charts.py over the file.  0, or -1 when it failed.
int report_draw(const char *json, const char *dir);

json_t *machine_facts(const char *dir);
