# Fetches the headers of Eigen 5 for the preset `eigen5`, which names this file in
# CMAKE_PROJECT_TOP_LEVEL_INCLUDES. They come inside the wheel of the Python package eigency, so that
# pip is all that is needed.

if(NOT MONGE_EIGEN_INCLUDE_DIR)
  set(eigen5 "${CMAKE_BINARY_DIR}/eigen5")
  if(NOT EXISTS "${eigen5}/eigency/eigen/Eigen/Core")
    find_program(MONGE_PYTHON NAMES python3 python REQUIRED)
    execute_process(
      COMMAND "${MONGE_PYTHON}" -m pip download --quiet --no-deps --only-binary=:all:
              --dest "${eigen5}" "eigency>=5.0.1,<6"
      COMMAND_ERROR_IS_FATAL ANY)
    file(GLOB wheel "${eigen5}/eigency-*.whl")
    file(ARCHIVE_EXTRACT INPUT "${wheel}" DESTINATION "${eigen5}" PATTERNS "eigency/eigen/*")
  endif()
  set(MONGE_EIGEN_INCLUDE_DIR "${eigen5}/eigency/eigen" CACHE PATH "Folder that holds Eigen/Core")
endif()
