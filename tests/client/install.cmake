# An installed library is found by pkg-config and by find_package, and a fresh program that uses it runs:
#   cmake -D BUILD=DIR -D CC=... -P install.cmake
set(work ${BUILD}/install-test)
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work}/program)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE out OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(out "${out}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
file(GLOB_RECURSE pc ${work}/prefix/*/diskalloc-client.pc)
# A page is found by each of its names.
foreach(page name_push.3:^\\.so diskalloc_region_unlink.3:^\\.so diskalloc_region_open.3:^\\.Dd diskalloc.7:^\\.Dd)
  string(REPLACE ":" ";" page ${page})
  list(POP_BACK page begins)
  file(GLOB_RECURSE found ${work}/prefix/*/${page})
  file(READ "${found}" text LIMIT 100)
  if(NOT text MATCHES "${begins} ")
    message(FATAL_ERROR "the manual page ${page} begins with \"${text}\"")
  endif()
endforeach()
file(WRITE ${work}/program/main.c [[
#include <diskalloc/vec.h>
#include <stdio.h>

DISKALLOC_VEC_DEFINE(u64vec, uint64_t)

int main(int argc, char **argv)
{
    struct diskalloc *da;
    struct u64vec v;

    if (argc != 2 || diskalloc_open(argv[1], NULL, &da) < 0 || u64vec_init(&v, da) < 0 || u64vec_push(&v, 42) < 0)
        return 1;
    printf("%llu\n", (unsigned long long)v.data[0]);
    u64vec_deinit(&v);
    diskalloc_close(da);
    return 0;
}
]])
file(WRITE ${work}/program/CMakeLists.txt [[
cmake_minimum_required(VERSION 3.25)
project(program C)
find_package(diskalloc 0.1 REQUIRED)
add_executable(program main.c)
target_link_libraries(program PRIVATE diskalloc::client)
add_executable(program-static main.c)
target_link_libraries(program-static PRIVATE diskalloc::client-static)
]])

cmake_path(GET pc PARENT_PATH pc_dir)
cmake_path(GET pc_dir PARENT_PATH libdir)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
run(${PKG_CONFIG} --cflags --libs diskalloc-client)
separate_arguments(flags UNIX_COMMAND "${out}")
separate_arguments(own_flags UNIX_COMMAND "${CFLAGS}")
run(${CC} ${own_flags} ${work}/program/main.c -o ${work}/by-pkg-config ${flags})
set(ENV{LD_LIBRARY_PATH} ${libdir})
run(${work}/by-pkg-config dir:${work})
if(NOT out STREQUAL "42")
  message(FATAL_ERROR "the program built by pkg-config said \"${out}\"")
endif()
unset(ENV{LD_LIBRARY_PATH})

# Linked statically, the library meets no function of the program: this one has the names of functions that are inside.
file(WRITE ${work}/program/clash.c [[
int error_begin(void);
int mapping_init(void);
int packet_send(void);
int error_begin(void) { return 1; }
int mapping_init(void) { return 1; }
int packet_send(void) { return 1; }
]])
run(${PKG_CONFIG} --static --cflags --libs diskalloc-client)
separate_arguments(flags UNIX_COMMAND "${out}")
string(FIND "${own_flags}" "-fsanitize" sanitized)
if(sanitized EQUAL -1) # sanitizers can't be linked statically
  list(PREPEND flags -static)
else()
  list(TRANSFORM flags REPLACE "^-ldiskalloc-client$" "-l:libdiskalloc-client.a")
endif()
run(${CC} ${own_flags} ${work}/program/main.c ${work}/program/clash.c -o ${work}/static ${flags})
run(${work}/static dir:${work})
if(NOT out STREQUAL "42")
  message(FATAL_ERROR "the static program built by pkg-config said \"${out}\"")
endif()

run(${CMAKE_COMMAND} -G Ninja -S ${work}/program -B ${work}/by-cmake -DCMAKE_PREFIX_PATH=${work}/prefix -DCMAKE_C_COMPILER=${CC}
  "-DCMAKE_C_FLAGS=${CFLAGS}")
run(${CMAKE_COMMAND} --build ${work}/by-cmake)
run(${work}/by-cmake/program dir:${work})
if(NOT out STREQUAL "42")
  message(FATAL_ERROR "the program built by find_package said \"${out}\"")
endif()
run(${work}/by-cmake/program-static dir:${work})
if(NOT out STREQUAL "42")
  message(FATAL_ERROR "the program built by find_package with the archive said \"${out}\"")
endif()
file(REMOVE_RECURSE ${work})
