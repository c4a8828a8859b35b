// Warnings: an account has reached the mark that its quota sets.
#pragma once

struct quota;
struct request_env;

// From now on the log, those who watch, and the clients of the users whom an account is about, are
// told when it reaches its mark.
void warnings_start(struct quota *quota, struct request_env *env);
