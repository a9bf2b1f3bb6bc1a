# A few seconds of what tools/dev soak does for as long as one likes.
add_executable(soak ${CMAKE_CURRENT_LIST_DIR}/soak.cpp)
target_link_libraries(soak PRIVATE nibble nibble_flags Threads::Threads)
add_test(NAME soak/seconds
         COMMAND soak ${PROJECT_SOURCE_DIR}/tools/models/stories-gemma3-qat-q4_0.gguf 0.04)
