# An installed sanitizer build would ask its consumer for the sanitizer's flags.
if(NOT NIBBLE_SANITIZE)
  add_test(NAME consumer
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DCXX=${CMAKE_CXX_COMPILER}
                   -DVERSION=${PROJECT_VERSION} -DWORK=${PROJECT_BINARY_DIR}/consumer
                   -DTOOLCHAIN=${CMAKE_TOOLCHAIN_FILE} "-DEMULATOR=${CMAKE_CROSSCOMPILING_EMULATOR}"
                   -P ${CMAKE_CURRENT_LIST_DIR}/consumer.cmake)
  set_tests_properties(consumer PROPERTIES TIMEOUT 300)
endif()
