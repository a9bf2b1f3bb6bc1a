# These tests run the program.
cmake_language(DEFER CALL add_dependencies tools_tests nibble_cli)
