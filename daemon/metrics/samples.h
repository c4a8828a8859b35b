// Functions that write the samples of families, as struct family has them: F->argument says which of them.
#pragma once

struct exposition;
struct family;

// account_samples.c.  The argument of the first two is a resource of enum quota_resource.
void samples_used(struct exposition *e, const struct family *f);
void samples_limit(struct exposition *e, const struct family *f);
void samples_soft_limit(struct exposition *e, const struct family *f);
void samples_grace_end(struct exposition *e, const struct family *f);
void samples_waiters(struct exposition *e, const struct family *f);
void samples_account_refusals(struct exposition *e, const struct family *f);
void samples_users(struct exposition *e, const struct family *f);
void samples_hidden(struct exposition *e, const struct family *f);
void samples_refusals(struct exposition *e, const struct family *f);

// disk_samples.c:

enum disk_number {
    DISK_SIZE,
    DISK_AVAILABLE,
    DISK_KEEP_FREE,
    DISK_GRANTED,
    DISK_REGIONS,
};

void samples_foreign(struct exposition *e, const struct family *f);
void samples_unreadable(struct exposition *e, const struct family *f);
void samples_lacking(struct exposition *e, const struct family *f);
void samples_disk_info(struct exposition *e, const struct family *f);
void samples_disk(struct exposition *e, const struct family *f); // enum disk_number
void samples_healthy(struct exposition *e, const struct family *f);
// The file system's own limits of bytes, or of files if the argument has the first bit; what is in use of them if it
// has the second one.
void samples_disk_limits(struct exposition *e, const struct family *f);
