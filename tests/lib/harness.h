// The base of every test in C: cmocka with a deadline and a count of open descriptors around each test, and the
// headers that nearly every test needs.
#pragma once
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

// 1 in a build with AddressSanitizer or ThreadSanitizer, else 0.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// How long to wait for what takes SECONDS at most: with $DISKALLOC_TEST_SLOW (a machine that is emulated, or busy with
// other tests) three times as many.
unsigned test_patience(unsigned seconds);

// Calls CONDITION(data) until it returns true, with pauses that grow from 100 µs to 10 ms; fails the test after
// test_patience(SECONDS).
void test_wait_until(bool (*condition)(void *data), void *data, unsigned seconds, const char *what);

// Runs FN(data) in a child process, as user UID unless UID is -1.  Returns the status that waitpid gives.  A failed
// assertion in the child ends the child with exit status 1.
int test_in_child(void (*fn)(void *data), void *data, uid_t uid);

// Setup and teardown of each test.  The deadline is 120 s, and 1200 s under a sanitizer, valgrind, or with
// $DISKALLOC_TEST_SLOW (emulated machines); then SIGALRM kills the program.  The test fails when more or fewer
// descriptors are open after it than before.
int test_setup(void **state);
int test_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

// Ends the whole program as skipped (exit status 77) and prints the reason.
_Noreturn void test_skip_all(const char *why);
