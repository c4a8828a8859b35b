// One frame of `top` as text or JSON, and the texts of rows that the screen shows as well.
#pragma once
#include "client/ctl/text.h"
#include "client/ctl/top/model.h"

enum { TOP_HEADER_LINES = 3, TOP_LINE_MAX = 512 };

// The lines above the rows: the daemon, the disk, the total.
void top_header(const struct ctl *ctl, const struct top_sample *s, char ret[static TOP_HEADER_LINES][TOP_LINE_MAX]);
// "12M/s", "-3.0K/s", "-".
const char *top_rate_text(int64_t rate, char ret[static TEXT_MAX]);
// Prints SAMPLE: the accounts, and the regions that take the most.  An exit status.
int top_print(const struct ctl *ctl, struct top_sample *s);
int top_print_json(struct top_sample *s);
