# Files that nibble quantizes, read by the GGUF reader of Hugging Face's own site. Skipped where
# there is no Node.js of at least version 20, or no way to the package.
find_program(NIBBLE_NODE node)
find_program(NIBBLE_NPM npm)
if(NIBBLE_NODE AND NIBBLE_NPM AND NOT NIBBLE_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME reader/quantized_files
           COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh ${NIBBLE_NODE} ${NIBBLE_NPM}
                   $<TARGET_FILE:nibble_cli> ${PROJECT_BINARY_DIR}/reader
                   ${PROJECT_SOURCE_DIR}/tools/models/stories-gemma3-qat-q4_0.gguf)
  set_tests_properties(reader/quantized_files PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
