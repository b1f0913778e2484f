# What `cmake --install` gives: headers, both libraries, the command line, a CMake package and a pkg-config file.
# Everything in it names everything else by relative paths, so that the installed tree can be moved.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gemmsmith)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/gemmsmith ${PROJECT_BINARY_DIR}/include/gemmsmith
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS gemmsmith_static gemmsmith_shared EXPORT gemmsmith
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET gemmsmith_cli)
  install(TARGETS gemmsmith_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT gemmsmith NAMESPACE gemmsmith:: FILE gemmsmith-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/gemmsmith-config.cmake.in
                              ${PROJECT_BINARY_DIR}/gemmsmith-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break the API; so says the SOVERSION too.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gemmsmith-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gemmsmith-config.cmake ${PROJECT_BINARY_DIR}/gemmsmith-config-version.cmake
        DESTINATION ${package_dir})

file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix ${pc_prefix})
list(TRANSFORM gemmsmith_link_names PREPEND -l OUTPUT_VARIABLE pc_private)
list(JOIN pc_private " " pc_private)
configure_file(${PROJECT_SOURCE_DIR}/cmake/gemmsmith.pc.in ${PROJECT_BINARY_DIR}/gemmsmith.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/gemmsmith.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
