// The client library's advice to the kernel, for what of a region is mapped at other addresses too.
//
// The library watches how regions larger than memory are read, and has parts of them read by single pages or by large
// ones (client/memory/adapt.c).  Such advice belongs to addresses, and the library gives it for those of the region.
// Memory of mmap, and blocks that have grown, are at others: without the advice, each access at random reads 2 MiB.
#pragma once
#include <stddef.h>

// On the library's own thread, after the library has given ADVICE about LENGTH bytes from AT on.
void advice_repeat(const void *at, size_t length, int advice);
