# Protection for what a mistake in memory would open: in each build with optimisation, so that a plain build has it.  tests/ci/hardening.py
# looks for it in the binaries.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckPIESupported)
option(DISKALLOC_HARDENING "Stack protector, fortified calls, position-independent programs, read-only relocations, CET" ON)
if(NOT DISKALLOC_HARDENING)
  return()
endif()

check_pie_supported()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Relocations are done at once and then read-only; no code runs on the stack.
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)

foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  string(MAKE_C_IDENTIFIER HAVE${flag} have)
  check_c_compiler_flag(${flag} ${have})
  if(${have})
    add_compile_options(${flag})
  endif()
endforeach()

# Level 3 asks for sizes that are known at run time only.  It needs optimisation, and would hide calls from sanitizers.
check_c_source_compiles("int main(int n, char **v) { return (int)__builtin_dynamic_object_size(v[n], 0); }" HAVE_DYNAMIC_OBJECT_SIZE)
if(HAVE_DYNAMIC_OBJECT_SIZE)
  set(fortify 3)
else()
  set(fortify 2)
endif()
if(NOT "${CMAKE_C_FLAGS}" MATCHES "-fsanitize")
  add_compile_options("$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=${fortify}>")
endif()
