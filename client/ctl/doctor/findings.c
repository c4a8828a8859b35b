// The findings of `doctor`: see findings.h.
#include "client/ctl/doctor/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/text.h"

static const char *const state_names[] = {"well", "note", "wrong"};

static void add(struct findings *f, enum finding_state state, const char *id, struct advice advice, const char *format,
                va_list args)
{
    char *said = NULL, *what = NULL;

    if (f->n == f->n_room) {
        size_t n = f->n_room ? 2 * f->n_room : 32;
        struct finding *items = reallocarray(f->items, n, sizeof(*items));

        if (items) {
            f->items = items;
            f->n_room = n;
        }
    }
    if (vasprintf(&said, format, args) < 0)
        said = NULL;
    if (said && f->where && asprintf(&what, "%s: %s", f->where, said) >= 0) {
        free(said);
        said = what;
    }
    if (f->n == f->n_room || !said) {
        free(said);
        f->failed = true;
        return;
    }
    f->items[f->n++] = (struct finding){state, id, said, advice};
}

void finding(struct findings *f, enum finding_state state, const char *id, struct advice advice, const char *format,
             ...)
{
    va_list args;

    va_start(args, format);
    add(f, state, id, advice, format, args);
    va_end(args);
}

void finding_well(struct findings *f, const char *id, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(f, FINDING_WELL, id, (struct advice){"", ""}, format, args);
    va_end(args);
}

void findings_deinit(struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->items[i].what);
    free(f->items);
    *f = (struct findings){0};
}

static size_t count(const struct findings *f, enum finding_state state)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++)
        n += f->items[i].state == state;
    return n;
}

static void print_finding(const struct finding *f)
{
    printf("%-5s  %s: %s\n", f->state == FINDING_WRONG ? "WRONG" : "note", f->id, f->what);
    if (*f->advice.means)
        printf("       %s\n", f->advice.means);
    if (*f->advice.mend)
        printf("       To mend it: %s\n", f->advice.mend);
}

static void print_text(const struct findings *f)
{
    size_t wrong = count(f, FINDING_WRONG), notes = count(f, FINDING_NOTE);

    for (int state = FINDING_WRONG; state >= FINDING_NOTE; state--)
        for (size_t i = 0; i < f->n; i++)
            if ((int)f->items[i].state == state)
                print_finding(&f->items[i]);
    if (wrong + notes > 0)
        putchar('\n');
    if (wrong == 0)
        printf("Nothing is wrong.  ");
    else
        printf("%zu %s wrong.  ", wrong, wrong == 1 ? "thing is" : "things are");
    printf("%zu %s looked at, %zu %s.\n", f->n, f->n == 1 ? "thing was" : "things were", notes,
           notes == 1 ? "is worth knowing" : "are worth knowing");
}

static int print_json(const struct findings *f)
{
    json_t *array = json_array();

    for (size_t i = 0; i < f->n; i++) {
        const struct finding *item = &f->items[i];

        json_array_append_new(array,
                              json_pack("{ss, ss, so, ss, ss}", "id", item->id, "state", state_names[item->state],
                                        "what", text_json_bytes(item->what, strlen(item->what)), "means",
                                        item->advice.means, "mend", item->advice.mend));
    }
    return ctl_print_json(json_pack("{so, so, so}", "findings", array, "wrong",
                                    text_json_number(count(f, FINDING_WRONG)), "notes",
                                    text_json_number(count(f, FINDING_NOTE))));
}

int findings_print(const struct ctl *ctl, const struct findings *f)
{
    int status = EXIT_DONE;

    if (ctl->json)
        status = print_json(f);
    else
        print_text(f);
    if (f->failed) {
        ctl_complain("out of memory: not everything is told");
        return EXIT_REFUSED;
    }
    return status != EXIT_DONE || count(f, FINDING_WRONG) > 0 ? EXIT_REFUSED : EXIT_DONE;
}
