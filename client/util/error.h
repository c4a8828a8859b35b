// The thread's last error.  A public function begins with error_begin and returns through error_end; the functions
// that it calls note why they fail.
#pragma once
#include <diskalloc/client.h>
#include <stddef.h>
#include <stdint.h>

// CALL: the name of the public function, static text.
void error_begin(const char *call);
// Makes the sentence of what was noted, and returns R.  If R is a success, the last error becomes empty.
int error_end(int r);

// Note why a call fails, which limit refused, and which region it was about.  The first two return R.
int error_why(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));
int error_limit(int r, const char *limit_name, uint64_t limit, uint64_t used, uint64_t asked);
// Copies the name of a limit to RET of SIZE bytes.  A name that is too long loses a part of the subject, never the
// resource behind it.
void limit_name_fit(const char *limit_name, char *ret, size_t size);
void error_handle(const char *handle);
// Forgets what was noted, before another attempt within one call.
void error_forget(void);

// The reason that was noted since error_begin or error_forget; "": none.
const char *error_reason(void);
// The numbers that were noted since error_begin or error_forget.
const struct diskalloc_error_info *error_noted(void);
