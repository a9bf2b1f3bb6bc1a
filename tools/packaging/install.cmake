# What `cmake --install` puts where: the component `development` is the library with its CMake package
# and pkg-config file, `program` the program and the built-in model. tests/consumer builds against
# the result, packages.cmake makes packages of it.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nibble)

install(TARGETS nibble EXPORT nibbleTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/nibble
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development FILES_MATCHING PATTERN "*.h")
install(EXPORT nibbleTargets NAMESPACE nibble:: DESTINATION ${package_dir} COMPONENT development)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/nibbleConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/generated/nibbleConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/nibbleConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/nibbleConfig.cmake
              ${PROJECT_BINARY_DIR}/generated/nibbleConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT development)

# Relative to the .pc file, so that the installed tree can be moved.
file(RELATIVE_PATH NIBBLE_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${CMAKE_CURRENT_LIST_DIR}/nibble.pc.in ${PROJECT_BINARY_DIR}/generated/nibble.pc
               @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/nibble.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

install(TARGETS nibble_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(FILES ${PROJECT_SOURCE_DIR}/tools/models/stories-gemma3-qat-q4_0.gguf
              ${PROJECT_SOURCE_DIR}/tools/models/README.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/nibble/models COMPONENT program)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/nibble.service DESTINATION lib/systemd/system
        COMPONENT program)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/haproxy.cfg DESTINATION ${CMAKE_INSTALL_DOCDIR}
        COMPONENT program)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
if(NIBBLE_STATIC)  # the licences of what is inside the program then
  install(DIRECTORY ${CMAKE_PREFIX_PATH}/licences DESTINATION ${CMAKE_INSTALL_DOCDIR}
          COMPONENT program)
endif()
