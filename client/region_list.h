// Lists of regions, which the program reads one by one, and the backend gives page by page.
#pragma once
#include <pthread.h>

#include "client/backend.h"

struct region_list {
    pthread_mutex_t lock;     // of the page
    struct region_page *page; // the one that was asked for last; NULL: none
};

void region_list_init(struct region_list *l);
void region_list_deinit(struct region_list *l);
void region_list_forked(struct region_list *l);
// As diskalloc_next_region, without its error_begin and error_end.
int region_list_next(struct region_list *l, struct backend *backend, uint64_t *cursor,
                     struct diskalloc_region_info *ret);
