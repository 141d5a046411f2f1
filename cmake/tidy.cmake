# The target `tidy`: clang-tidy with .clang-tidy over every header, through one translation unit that
# includes them all and the fuzz targets, which instantiate the solvers.
find_program(MONGE_CLANG_TIDY NAMES clang-tidy-19 clang-tidy REQUIRED)
file(GLOB tidy_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.cpp)
add_library(tidy OBJECT EXCLUDE_FROM_ALL tests/odr/one.cpp ${tidy_sources})
target_link_libraries(tidy PRIVATE monge::monge)
set_target_properties(tidy PROPERTIES CXX_CLANG_TIDY "${MONGE_CLANG_TIDY};--quiet")
