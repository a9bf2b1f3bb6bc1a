# Boards that the program is shown (board_test.cpp). Sanitizers want to be loaded first, and an emulator
# would be shown the board, not the program.
if(NOT NIBBLE_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_library(fake_board MODULE ${CMAKE_CURRENT_LIST_DIR}/fake_board.cpp)
  target_link_libraries(fake_board PRIVATE nibble_flags ${CMAKE_DL_LIBS})
  cmake_language(DEFER CALL add_dependencies cli_tests fake_board)
  cmake_language(DEFER CALL target_compile_definitions cli_tests PRIVATE
                 NIBBLE_FAKE_BOARD="$<TARGET_FILE:fake_board>")
endif()
