# The pre-tokenisers against their published patterns, run by PCRE2 where it is installed.
pkg_check_modules(PCRE2 IMPORTED_TARGET libpcre2-8)
if(PCRE2_FOUND)
  add_executable(pre_tokenizer_oracle ${CMAKE_CURRENT_LIST_DIR}/pre_tokenizer_oracle.cpp)
  target_include_directories(pre_tokenizer_oracle PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(pre_tokenizer_oracle PRIVATE nibble nibble_flags PkgConfig::PCRE2
                        GTest::gtest GTest::gtest_main)
  gtest_discover_tests(pre_tokenizer_oracle TEST_PREFIX "text/")
endif()
