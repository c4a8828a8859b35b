// The handlers of requests, one for each body of a message.  Only the dispatcher calls them, on the loop's thread, for
// a peer that has said Hello (but request_hello).
//
// A handler returns 0 when it has replied or will reply later; or a negative errno, which the dispatcher sends as the
// reply.
#pragma once

struct call;

// hello.c
int request_hello(const struct call *c);

// attach.c
int request_create_region(const struct call *c);
int request_open_region(const struct call *c);
int request_attach_region(const struct call *c);
int request_detach_region(const struct call *c);
int request_open_file(const struct call *c);

// clone.c
int request_clone_region(const struct call *c);

// move.c
int request_move_region(const struct call *c);

// region.c
int request_grow_region(const struct call *c);
int request_shrink_region(const struct call *c);
int request_agree_shrink(const struct call *c);
int request_stat_region(const struct call *c);
int request_commit_region(const struct call *c);
int request_discard_region(const struct call *c);
int request_restore_region(const struct call *c);
int request_list_discarded(const struct call *c);
int request_unlink_region(const struct call *c);
int request_remove_region(const struct call *c);
int request_set_expiry(const struct call *c);

// query.c
int request_get_usage(const struct call *c);
int request_list_regions(const struct call *c);

// status.c
int request_get_status(const struct call *c);

// metrics.c
int request_get_metrics(const struct call *c);
// usage.c
int request_list_usage(const struct call *c);

// watch.c
int request_watch_events(const struct call *c);

// admin.c
int request_list_quota(const struct call *c);
int request_set_quota(const struct call *c);
int request_unset_quota(const struct call *c);
int request_disconnect_user(const struct call *c);
