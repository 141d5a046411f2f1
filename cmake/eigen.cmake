# Makes the target Eigen3::Eigen available, at least 3.4 and below 6.
#
# Debian's Eigen 3.4.0 refuses a version range and Eigen 5 refuses a request for 3.4, so no version
# is requested: whatever is found is checked afterwards. MONGE_EIGEN_INCLUDE_DIR takes a bare folder
# of headers instead, for builds of this project itself.

set(MONGE_EIGEN_INCLUDE_DIR "" CACHE PATH "Folder that holds Eigen/Core; empty: find_package(Eigen3)")

# The version that the headers in `folder` state. Eigen 5 has Eigen/Version, Eigen 3 has Macros.h.
function(monge_eigen_version folder result)
  set(version_header "${folder}/Eigen/Version")
  set(names MAJOR MINOR PATCH)
  if(NOT EXISTS "${version_header}")
    set(version_header "${folder}/Eigen/src/Core/util/Macros.h")
    set(names WORLD MAJOR MINOR)
  endif()
  if(NOT EXISTS "${version_header}")
    message(FATAL_ERROR "MONGE_EIGEN_INCLUDE_DIR is ${folder}, but there is no Eigen/Core in it")
  endif()
  set(numbers "")
  foreach(name IN LISTS names)
    file(STRINGS "${version_header}" line LIMIT_COUNT 1
      REGEX "^#define EIGEN_${name}_VERSION +[0-9]+")
    string(REGEX MATCH "[0-9]+" number "${line}")
    list(APPEND numbers "${number}")
  endforeach()
  string(REPLACE ";" "." version "${numbers}")
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

if(MONGE_EIGEN_INCLUDE_DIR AND NOT TARGET Eigen3::Eigen)
  monge_eigen_version("${MONGE_EIGEN_INCLUDE_DIR}" Eigen3_VERSION)
  add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
  target_include_directories(Eigen3::Eigen SYSTEM INTERFACE "${MONGE_EIGEN_INCLUDE_DIR}")
elseif(NOT TARGET Eigen3::Eigen)
  find_package(Eigen3 CONFIG REQUIRED)
endif()

# A parent project that made Eigen3::Eigen itself may leave the version unset: it vouches for it.
if(Eigen3_VERSION)
  if(Eigen3_VERSION VERSION_LESS 3.4 OR Eigen3_VERSION VERSION_GREATER_EQUAL 6)
    message(FATAL_ERROR "monge needs Eigen 3.4 or 5.x, found ${Eigen3_VERSION}")
  endif()
  if(PROJECT_IS_TOP_LEVEL)
    message(STATUS "Eigen ${Eigen3_VERSION}")
  endif()
endif()
