// `top` on a terminal, by ncurses.
#pragma once
#include "client/ctl/top/model.h"

// Shows SAMPLE, and takes new ones, until somebody ends it.  An exit status; -1: the terminal can't be drawn on, and
// nothing was.
int top_screen_run(struct ctl *ctl, struct top_sample *sample, enum top_column column, int delay_seconds);
