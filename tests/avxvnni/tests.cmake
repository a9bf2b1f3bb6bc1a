# The AVX-VNNI kernels once more, with the flags of the AVX-512 form of vpdpbusd (EVEX): the same
# source and results, on machines that have only that form. Sanitizers see that source in arch/.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT NIBBLE_SANITIZE)
  file(GLOB kernel_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/arch/avxvnni/*.cpp)
  add_executable(avxvnni_twin ${CMAKE_CURRENT_LIST_DIR}/twin.cpp ${kernel_files})
  set_source_files_properties(${kernel_files} PROPERTIES COMPILE_OPTIONS
    "-O3;-mavx2;-mfma;-mf16c;-mavx512f;-mavx512vl;-mavx512vnni")
  target_compile_definitions(avxvnni_twin PRIVATE NIBBLE_ISA_NAME=twin)
  target_include_directories(avxvnni_twin PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(avxvnni_twin PRIVATE nibble nibble_flags GTest::gtest GTest::gtest_main)
  gtest_discover_tests(avxvnni_twin TEST_PREFIX "avxvnni/" DISCOVERY_TIMEOUT 60)
endif()
