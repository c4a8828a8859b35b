// The bytes of page.html.
#pragma once
#include <stddef.h>

extern const unsigned char page_html[];
extern const size_t page_html_size;
