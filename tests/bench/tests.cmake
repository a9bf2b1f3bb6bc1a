# These tests run kernels_bench; where the benches are left out (the sanitizers' presets), it is
# built for them all the same, if Google Benchmark is there.
if(NOT TARGET kernels_bench)
  find_package(benchmark QUIET)
  if(benchmark_FOUND)
    add_subdirectory(${PROJECT_SOURCE_DIR}/bench ${PROJECT_BINARY_DIR}/bench EXCLUDE_FROM_ALL)
  endif()
endif()
if(TARGET kernels_bench)
  cmake_language(DEFER CALL add_dependencies bench_tests kernels_bench)
endif()

# For the run on a CPU that has nothing but the scalar level.
find_program(NIBBLE_QEMU qemu-x86_64)
if(NIBBLE_QEMU AND NOT NIBBLE_SANITIZE AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  cmake_language(DEFER CALL target_compile_definitions bench_tests PRIVATE
                 NIBBLE_QEMU="${NIBBLE_QEMU}")
endif()
