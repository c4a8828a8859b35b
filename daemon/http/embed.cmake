# Writes the bytes of SOURCE as a C array to TARGET.
file(READ ${SOURCE} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${TARGET} "#include \"daemon/http/page.h\"\n\nconst unsigned char page_html[] = {\n${bytes}};\nconst size_t page_html_size = sizeof page_html;\n")
