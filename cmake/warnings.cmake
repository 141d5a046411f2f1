# monge_warnings: what the project's own translation units are compiled with. Nothing of it reaches
# a user of the library.
#
# MONGE_STRICT turns warnings into errors, but only with the compilers that the project is checked
# with: a stranger's newer compiler may know warnings that we have never seen.

option(MONGE_STRICT "Warnings are errors with the compilers that the project is checked with" OFF)

add_library(monge_warnings INTERFACE)
target_compile_options(monge_warnings INTERFACE
  $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow
    -Wno-sign-conversion>
  # False alarms of GCC from inside Eigen once it inlines.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow>
  $<$<CXX_COMPILER_ID:Clang>:-Wextra-semi -Wnon-virtual-dtor -Wunreachable-code -Wloop-analysis
    -Wrange-loop-analysis>
  $<$<CXX_COMPILER_ID:MSVC>:/W4>)
if(MONGE_STRICT)
  if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.")
     OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^19\\."))
    target_compile_options(monge_warnings INTERFACE -Werror)
  endif()
endif()
