# Packages by CPack, from the components of install.cmake: `cpack -G DEB` makes nibble (the program and
# its model) and libnibble-dev, `cpack -G TGZ` an archive of the program alone. tools/dev package and
# tools/dev cross call it and look into the results.
set(CPACK_PACKAGE_VENDOR "The nibble project")
set(CPACK_PACKAGE_CONTACT "The nibble project <maintainers@nibble.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)

set(CPACK_SYSTEM_NAME linux-${CMAKE_SYSTEM_PROCESSOR})
if(NIBBLE_STATIC)
  string(APPEND CPACK_SYSTEM_NAME -static)
endif()
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_ARCHIVE_PROGRAM_FILE_NAME nibble-${PROJECT_VERSION}-${CPACK_SYSTEM_NAME})

# dpkg's name of the architecture; its tools take it from the environment when it is not their own.
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE amd64)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
endif()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/cpack_project.cmake @ONLY CONTENT [[
set(ENV{DEB_HOST_ARCH} @CPACK_DEBIAN_PACKAGE_ARCHITECTURE@)
if(CPACK_GENERATOR STREQUAL "TGZ")
  set(CPACK_COMPONENTS_ALL program)
endif()
]])
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/generated/cpack_project.cmake)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME nibble)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
# Loaded for downloads alone (tools/docs/decisions/0015); every model can be had without.
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "libcurl4 | libcurl3-gnutls, ca-certificates")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libnibble-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libtbb-dev, libhwloc-dev, pkg-config")
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION
    "Opens a GGUF file and talks. Kernels for every instruction-set level, chosen at run time.")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
    "The static library libnibble with its headers, CMake package and pkg-config file.")
set(CPACK_COMPONENTS_ALL program development)
include(CPack)
