// Advice to an administrator about a spill directory that the daemon can't use.
#pragma once

enum { STORE_ADVICE_MAX = 9000 }; // bytes: a path twice, a sentence and a NUL

// Writes what to do about ERROR, which DIR was refused with: a text that follows the sentence of the error, or "".
// Returns TEXT.
const char *store_advice(int error, const char *dir, char text[static STORE_ADVICE_MAX]);
