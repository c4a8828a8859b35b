// Completions for shells, made from the tables of commands and options.
#pragma once
#include "client/ctl/ctl.h"

// Each prints a script for its shell.
void completion_bash(const struct ctl *ctl);
void completion_fish(const struct ctl *ctl);
void completion_zsh(const struct ctl *ctl);
