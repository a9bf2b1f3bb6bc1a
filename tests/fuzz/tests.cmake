# One set of targets, two programs: fuzz_regression (every build: ctest repeats what is known) and fuzz
# (libFuzzer, in the preset `fuzz` alone).
set(fuzz_sources ${CMAKE_CURRENT_LIST_DIR}/targets.cpp ${CMAKE_CURRENT_LIST_DIR}/support.cpp
                 ${CMAKE_CURRENT_LIST_DIR}/gguf_mutator.cpp)
file(GLOB fuzz_targets CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*_target.cpp)
add_library(fuzz_targets OBJECT ${fuzz_sources} ${fuzz_targets})
target_include_directories(fuzz_targets PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(fuzz_targets PUBLIC nibble_commands nibble nibble_flags GTest::gtest)
target_compile_definitions(fuzz_targets PUBLIC NIBBLE_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                           NIBBLE_BINARY_DIR="${PROJECT_BINARY_DIR}")

add_executable(fuzz_regression ${CMAKE_CURRENT_LIST_DIR}/regression.cpp)
target_include_directories(fuzz_regression PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(fuzz_regression PRIVATE fuzz_targets)
if(CMAKE_CROSSCOMPILING)  # readers do not differ by machine, and an emulator takes minutes
  return()
endif()
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/targets.cpp rows REGEX "^    {\"[a-z0-9]+\", run_")
foreach(row IN LISTS rows)
  string(REGEX REPLACE "^    {\"([a-z0-9]+)\".*" "\\1" target "${row}")
  add_test(NAME fuzz/${target} COMMAND fuzz_regression ${target})
endforeach()

if(NIBBLE_SANITIZE MATCHES "fuzzer")
  add_executable(fuzz ${CMAKE_CURRENT_LIST_DIR}/libfuzzer.cpp)
  target_include_directories(fuzz PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(fuzz PRIVATE fuzz_targets)
  target_link_options(fuzz PRIVATE -fsanitize=fuzzer)
endif()
