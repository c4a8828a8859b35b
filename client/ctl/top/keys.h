// The state of the screen of `top`, and how keys change it.
#pragma once
#include "client/ctl/text.h"
#include "client/ctl/top/model.h"

enum { FILTER_MAX = 64 };

struct screen {
    struct ctl *ctl;
    struct top_sample *sample;
    enum top_view view;
    enum top_column column;
    bool reverse, helps, types; // shows the help; the filter is being typed
    char filter[FILTER_MAX];
    size_t first; // the row at the top
    uint64_t delay_ms;
    char trouble[TEXT_MAX]; // why there is no newer sample; "": there is
};

int keys_rows(void); // that the terminal has room for
// Sorts and filters the rows of both views.
void keys_arrange(struct screen *s);
// KEY is ncurses'.  False: the command ends.  *RET_LOOK: a new sample is wanted.
bool keys_take(struct screen *s, int key, bool *ret_look);
