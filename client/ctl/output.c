// Complaints on stderr and JSON on stdout: see output.h.
#include "client/ctl/output.h"

#include <stdarg.h>
#include <stdio.h>

enum { COMPLAINT_MAX = 4096 };

static char last_complaint[COMPLAINT_MAX];
static bool has_printed_json, is_silent, in_lines;
static struct {
    char name[320];
    uint64_t limit, used, asked;
} refusal; // the limit that ctl_note_limit was told of last

void ctl_complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(last_complaint, sizeof(last_complaint), format, args);
    va_end(args);
    if (!is_silent)
        fprintf(stderr, "diskallocctl: %s\n", last_complaint);
}

void ctl_complain_silently(bool silently)
{
    is_silent = silently;
}

void ctl_note_limit(const Diskalloc__V1__Error *e)
{
    snprintf(refusal.name, sizeof(refusal.name), "%s", e->limit_name);
    refusal.limit = e->limit;
    refusal.used = e->used;
    refusal.asked = e->asked;
}

static json_t *number(uint64_t n)
{
    return n == UINT64_MAX ? json_null() : json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

void ctl_print_json_error(int status)
{
    const char *message = *last_complaint ? last_complaint : "wrong usage; see diskallocctl --help";
    json_t *error = json_pack("{ss, si}", "message", message, "status", status);

    if (error && *refusal.name) {
        json_object_set_new(error, "limit_name", json_string(refusal.name));
        json_object_set_new(error, "limit", number(refusal.limit));
        json_object_set_new(error, "used", number(refusal.used));
        json_object_set_new(error, "asked", number(refusal.asked));
    }
    ctl_print_json(json_pack("{so}", "error", error));
}

void ctl_json_in_lines(void)
{
    in_lines = true;
}

bool ctl_has_printed_json(void)
{
    return has_printed_json;
}

const char *ctl_last_complaint(void)
{
    return last_complaint;
}

int ctl_print_json(json_t *object)
{
    int r = -1;

    has_printed_json = true;
    if (object && json_object_set_new(object, "version", json_integer(1)) == 0)
        r = json_dumpf(object, stdout, (in_lines ? JSON_COMPACT : JSON_INDENT(2) | JSON_SORT_KEYS) | JSON_ENSURE_ASCII);
    json_decref(object);
    putchar('\n');
    if (r == 0)
        return EXIT_DONE;
    if (ferror(stdout)) // main says so
        return EXIT_DONE;
    ctl_complain("the answer can't be printed as JSON");
    return EXIT_REFUSED;
}
