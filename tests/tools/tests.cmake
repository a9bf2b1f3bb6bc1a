# These tests run the program; some call a part of it.
cmake_language(DEFER CALL add_dependencies tools_tests nibble_cli)
cmake_language(DEFER CALL target_sources tools_tests PRIVATE ${PROJECT_SOURCE_DIR}/tools/nibble/synth.cpp
               ${PROJECT_SOURCE_DIR}/tools/nibble/synth_shapes.cpp
               ${PROJECT_SOURCE_DIR}/tools/nibble/synth_vocabulary.cpp
               ${PROJECT_SOURCE_DIR}/tools/nibble/synth_weights.cpp)
