// The state of the daemon as JSON, for the page (daemon/http/page.html).  Its fields are no interface: they change with
// the page.
#pragma once

struct metrics;
struct metrics_source;
struct output;

void state_write(struct output *o, struct metrics *m, const struct metrics_source *s);
