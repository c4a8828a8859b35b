# Makes TO/libdiskalloc-client.a of OBJECTS and of what they need of the archive PROTO: one object whose symbols are local but
# for those that the version map MAP names.
#   cmake -D NM=… -D LD=… -D OBJCOPY=… -D AR=… -D MAP=FILE -D OBJECTS=LIST -D PROTO=FILE -D TO=DIRECTORY -P archive.cmake
file(STRINGS ${MAP} lines REGEX "^ +[a-z0-9_]+;$")
list(TRANSFORM lines REPLACE "[ ;]" "" OUTPUT_VARIABLE names)
list(JOIN names "\n" names)
file(WRITE ${TO}/symbols "${names}\n")
execute_process(COMMAND ${LD} -r -o ${TO}/diskalloc-client.o ${OBJECTS} ${PROTO} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${OBJCOPY} --keep-global-symbols=${TO}/symbols ${TO}/diskalloc-client.o COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE ${TO}/libdiskalloc-client.a)
# D: no times and no owners, so that the same sources make the same file.
execute_process(COMMAND ${AR} rcsD ${TO}/libdiskalloc-client.a ${TO}/diskalloc-client.o COMMAND_ERROR_IS_FATAL ANY)
