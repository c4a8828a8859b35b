// From a member to the struct that holds it.
#pragma once
#include <stddef.h>

// The struct TYPE whose MEMBER the POINTER points to.  POINTER must have the member's type, which the compiler checks.
#define container_of(pointer, type, member)                      \
    ({                                                           \
        __typeof__(((type *)NULL)->member) *member_ = (pointer); \
        (type *)((char *)member_ - offsetof(type, member));      \
    })
