// The thread's last error.  A public call begins with error_begin and returns through error_end; what lies between says why.
#pragma once
#include <diskalloc/client.h>
#include <stdint.h>

// CALL is static text.
void error_begin(const char *call);
// Composes the sentence; R is passed through.  A success forgets everything.
int error_end(int r);

// Details of a failure, for error_end to put together.  They return R.
int error_why(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int error_limit(int r, const char *limit_name, uint64_t limit, uint64_t used, uint64_t asked);
void error_handle(const char *handle);
// Before another attempt within one call.
void error_forget(void);

// What was noted since error_begin or error_forget.
const struct diskalloc_error_info *error_noted(void);
