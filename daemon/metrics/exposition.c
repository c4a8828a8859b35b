// Writing metrics: see exposition.h.
#include "daemon/metrics/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/tally.h"

static const char *const endings[] = {
    [FAMILY_GAUGE] = "", [FAMILY_COUNTER] = "_total", [FAMILY_HISTOGRAM] = "", [FAMILY_INFO] = "_info"};

static void add_name(struct exposition *e, const char *ending)
{
    output_add(&e->out, e->family->name);
    output_add(&e->out, ending);
}

// In the older format, the name of a counter is that of its samples, and there is no type for information.
static void begin_comment(struct exposition *e, const char *keyword)
{
    output_add(&e->out, "# ");
    output_add(&e->out, keyword);
    output_add(&e->out, " ");
    add_name(e, e->openmetrics ? "" : endings[e->family->type]);
    output_add(&e->out, " ");
}

void exposition_family(struct exposition *e, const struct family *f)
{
    static const char *const types[] = {[FAMILY_GAUGE] = "gauge",
                                        [FAMILY_COUNTER] = "counter",
                                        [FAMILY_HISTOGRAM] = "histogram",
                                        [FAMILY_INFO] = "info"};

    e->family = f;
    begin_comment(e, "TYPE");
    output_add(&e->out, !e->openmetrics && f->type == FAMILY_INFO ? "gauge" : types[f->type]);
    output_add(&e->out, "\n");
    if (f->unit && e->openmetrics) {
        begin_comment(e, "UNIT");
        output_add(&e->out, f->unit);
        output_add(&e->out, "\n");
    }
    begin_comment(e, "HELP");
    output_add(&e->out, f->help);
    output_add(&e->out, "\n");
    f->write(e, f);
}

void exposition_end(struct exposition *e)
{
    if (e->openmetrics)
        output_add(&e->out, "# EOF\n");
}

void exposition_begin(struct exposition *e)
{
    add_name(e, endings[e->family->type]);
}

void exposition_label(struct exposition *e, const char *name, const char *value)
{
    char *last = e->out.n > 0 ? &e->out.data[e->out.n - 1] : NULL;

    // A further label takes the place of the brace behind the last one.
    if (last && *last == '}') {
        *last = ',';
    } else {
        output_add(&e->out, "{");
    }
    output_add(&e->out, name);
    output_add(&e->out, "=");
    output_label_value(&e->out, value);
    output_add(&e->out, "}");
}

void exposition_value(struct exposition *e, uint64_t value)
{
    output_add(&e->out, " ");
    if (value == UINT64_MAX)
        output_add(&e->out, "+Inf");
    else
        output_number(&e->out, value);
    output_add(&e->out, "\n");
}

void exposition_seconds(struct exposition *e, uint64_t us)
{
    output_format(&e->out, " %" PRIu64 ".%06u\n", us / 1000000, (unsigned)(us % 1000000));
}

// "0.00002", "1.0", "10.0": the shortest way, with a point, as OpenMetrics wants.
static void format_bound(uint32_t us, char ret[static 24])
{
    char *end;

    snprintf(ret, 24, "%u.%06u", us / 1000000, us % 1000000);
    end = ret + strlen(ret) - 1;
    while (*end == '0' && end[-1] != '.')
        *end-- = '\0';
}

static void begin_part(struct exposition *e, const char *ending, const char *label, const char *value)
{
    add_name(e, ending);
    if (label)
        exposition_label(e, label, value);
}

void exposition_histogram(struct exposition *e, const char *label, const char *value, const struct tally_histogram *h)
{
    uint64_t n = 0;

    for (unsigned i = 0; i <= TALLY_BOUNDS; i++) {
        char bound[24] = "+Inf";

        n += h->buckets[i];
        if (i < TALLY_BOUNDS)
            format_bound(tally_bounds_us[i], bound);
        begin_part(e, "_bucket", label, value);
        exposition_label(e, "le", bound);
        exposition_value(e, n);
    }
    begin_part(e, "_sum", label, value);
    exposition_seconds(e, h->sum_us);
    begin_part(e, "_count", label, value);
    exposition_value(e, n);
}

void exposition_sample(struct exposition *e, uint64_t value)
{
    exposition_begin(e);
    exposition_value(e, value);
}

void exposition_sample_of(struct exposition *e, const char *label, const char *label_value, uint64_t value)
{
    exposition_begin(e);
    exposition_label(e, label, label_value);
    exposition_value(e, value);
}
