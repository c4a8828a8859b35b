// Sorting elements where they lie: in memory, or in runs that are merged.
#pragma once
#include "client/order/job.h"

void sort_elements(const struct sort_job *job);
