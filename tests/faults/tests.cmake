# Calls of the system that fail, and processes that die in one (fault_shim.cpp, preloaded). Sanitizers want
# to be loaded first, and an emulator would be hit, not the program.
cmake_language(DEFER CALL add_dependencies faults_tests nibble_cli)
cmake_language(DEFER CALL target_link_libraries faults_tests PRIVATE nibble_hub)
if(NOT NIBBLE_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_library(fault_shim MODULE ${CMAKE_CURRENT_LIST_DIR}/fault_shim.cpp)
  target_link_libraries(fault_shim PRIVATE nibble_flags ${CMAKE_DL_LIBS})
  cmake_language(DEFER CALL add_dependencies faults_tests fault_shim)
  cmake_language(DEFER CALL target_compile_definitions faults_tests PRIVATE
                 NIBBLE_FAULT_SHIM="$<TARGET_FILE:fault_shim>")
endif()
