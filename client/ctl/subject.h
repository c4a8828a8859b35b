// Asking for the account of a subject that somebody has named.
#pragma once
#include "client/ctl/ctl.h"

// False after a complaint: SUBJECT is none, or has limits and no account.
bool subject_check(const char *subject);
// Asks for the usage of SUBJECT, which subject_check has seen.  The reply has a usage; or it is NULL after a complaint
// that says what is missing, and *RET_STATUS is the exit status.
Diskalloc__V1__Reply *subject_ask(struct ctl *ctl, const char *subject, int *ret_status);
