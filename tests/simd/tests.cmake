# No kernel object leaks, and the check that says so finds each kind of leak. Sanitizers put
# constructors and symbols of their own into every object.
if(NOT NIBBLE_SANITIZE)
  set(check ${CMAKE_CURRENT_LIST_DIR}/check_objects.sh ${CMAKE_NM} ${CMAKE_READELF})
  foreach(level IN LISTS NIBBLE_ISA_LEVELS)
    add_test(NAME simd/objects/${level}
             COMMAND ${check} $<TARGET_OBJECTS:nibble_arch_${level}> COMMAND_EXPAND_LISTS)
  endforeach()
  foreach(leak weak exported constructor)
    add_library(leaky_${leak} OBJECT ${CMAKE_CURRENT_LIST_DIR}/leaky/${leak}.cpp)
    target_include_directories(leaky_${leak} PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_definitions(leaky_${leak} PRIVATE NIBBLE_ISA_NAME=leaky)
    target_compile_options(leaky_${leak} PRIVATE -O3 -fno-exceptions -fno-rtti)
    target_link_libraries(leaky_${leak} PRIVATE nibble_flags)
    add_test(NAME simd/objects/finds_${leak}
             COMMAND ${check} $<TARGET_OBJECTS:leaky_${leak}> COMMAND_EXPAND_LISTS)
  endforeach()
  # The message decides, not the exit code: a check that cannot run at all proves nothing.
  set_tests_properties(simd/objects/finds_weak PROPERTIES PASS_REGULAR_EXPRESSION
                       "weak.cpp.o: weak symbol .*leaked_weak.*1 objects checked, 1 leaks")
  set_tests_properties(simd/objects/finds_exported PROPERTIES PASS_REGULAR_EXPRESSION
                       "exported.cpp.o: 2 exported symbols, must be 1.*leaked_export")
  set_tests_properties(simd/objects/finds_constructor PROPERTIES PASS_REGULAR_EXPRESSION
                       "constructor.cpp.o: has a constructor.*1 objects checked, 1 leaks")
endif()
