# These tests run the program; some call a part of it.
cmake_language(DEFER CALL add_dependencies tools_tests nibble_cli)
cmake_language(DEFER CALL target_link_libraries tools_tests PRIVATE nibble_commands)
