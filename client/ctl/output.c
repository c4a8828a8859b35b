// Complaints on stderr and JSON on stdout: see output.h.
#include "client/ctl/output.h"

#include <stdarg.h>
#include <stdio.h>

enum { COMPLAINT_MAX = 4096 };

static char last_complaint[COMPLAINT_MAX];

void ctl_complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(last_complaint, sizeof(last_complaint), format, args);
    va_end(args);
    fprintf(stderr, "diskallocctl: %s\n", last_complaint);
}

const char *ctl_last_complaint(void)
{
    return last_complaint;
}

int ctl_print_json(json_t *object)
{
    int r = -1;

    if (object && json_object_set_new(object, "version", json_integer(1)) == 0)
        r = json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    json_decref(object);
    putchar('\n');
    if (r == 0)
        return EXIT_DONE;
    ctl_complain("the answer can't be printed as JSON");
    return EXIT_REFUSED;
}
