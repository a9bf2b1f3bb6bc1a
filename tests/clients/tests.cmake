# The clients that people have, against the server. Skipped where there is no Node.js of at least
# version 20, or no way to the packages.
find_program(NIBBLE_NODE node)
find_program(NIBBLE_NPM npm)
if(NIBBLE_NODE AND NIBBLE_NPM AND NOT NIBBLE_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME clients/openai_and_ollama
           COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh ${NIBBLE_NODE} ${NIBBLE_NPM}
                   $<TARGET_FILE:nibble_cli> ${PROJECT_BINARY_DIR}/clients
                   ${PROJECT_SOURCE_DIR}/tools/models/stories-gemma3-qat-q4_0.gguf)
  set_tests_properties(clients/openai_and_ollama PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
