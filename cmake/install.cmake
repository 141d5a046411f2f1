# Installs the headers, the CMake package and the pkg-config file. All of it is independent of the
# architecture, so it goes under share/.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_folder "${CMAKE_INSTALL_DATADIR}/cmake/monge")
install(TARGETS monge EXPORT monge-targets FILE_SET HEADERS)
install(EXPORT monge-targets NAMESPACE monge:: DESTINATION "${package_folder}")
foreach(adapter IN LISTS monge_adapters)
  install(DIRECTORY "include/monge/${adapter}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/monge"
    FILES_MATCHING PATTERN "*.hpp")
endforeach()

configure_package_config_file(cmake/monge-config.cmake.in monge-config.cmake
  INSTALL_DESTINATION "${package_folder}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(monge-config-version.cmake
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(FILES
    "${CMAKE_CURRENT_BINARY_DIR}/monge-config.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/monge-config-version.cmake"
  DESTINATION "${package_folder}")

# The prefix is stated relative to the file, so that `cmake --install --prefix` and moved trees work.
file(RELATIVE_PATH MONGE_PC_PREFIX
  "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" MONGE_PC_PREFIX "${MONGE_PC_PREFIX}")
configure_file(cmake/monge.pc.in monge.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/monge.pc"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/monge")
