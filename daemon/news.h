// The queue of news: attachments whose clients have to be told something about the region.  See the essay in news.c.
// All functions run on the loop.
#pragma once
#include <stdbool.h>

struct attachment;
struct news;
struct news_list; // see user.h

int news_new(struct news **ret); // 0 or -ENOMEM
void news_free(struct news *n);
bool news_is_empty(const struct news *n); // NULL as N, in tests: there are no news

// Queues A, unless it stands in a list already.
void news_add(struct news *n, struct attachment *a);
// Takes the next attachment out of the queue; users take turns.  NULL: there is none.
struct attachment *news_take(struct news *n);
// Puts A, which news_take has returned, into a list of the caller's: its client can't be told now.
void news_hold(struct attachment *a, struct news_list *held);
// Puts MOST of HELD into the queue.  True: these were all.
bool news_release(struct news *n, struct news_list *held, unsigned most);
// A is about to be freed: takes it out of the list that it stands in.
void news_forget(struct attachment *a);
